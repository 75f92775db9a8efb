"""What a new password may be: how long it is, and of which characters."""

import string
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from infra.credentials.fields import Model


class CharacterSet(StrEnum):
    """A kind of characters that every password has at least one of."""

    LOWER = "lower"
    UPPER = "upper"
    DIGITS = "digits"


CHARACTERS = {
    CharacterSet.LOWER: string.ascii_lowercase,
    CharacterSet.UPPER: string.ascii_uppercase,
    CharacterSet.DIGITS: string.digits,
}
HARMLESS = frozenset("-._~")
"""The symbols that mean themselves in a URI, a shell, YAML and SQL."""


class PasswordRule(Model):
    """How new passwords are made. By default 32 letters and digits: they need quoting nowhere, and carry 185 bits."""

    length: int = Field(32, ge=16, le=128, title="Length", description="How many characters it has.")
    sets: tuple[CharacterSet, ...] = Field(
        tuple(CharacterSet),
        title="Character sets",
        description="lower, upper, digits: at least one character of each. A password begins with a letter.",
    )
    symbols: str = Field(
        "",
        title="Symbols",
        max_length=32,
        pattern=r"^[!-/:-@\[-`{-~]*$",
        description="Further characters, of which it has at least one: ASCII punctuation.",
    )

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if not {CharacterSet.LOWER, CharacterSet.UPPER} & set(self.sets):
            raise ValueError("a password begins with a letter, but its sets have none: add lower or upper")
        if len(set(self.sets)) < len(self.sets) or len(set(self.symbols)) < len(self.symbols):
            raise ValueError("a set or a symbol is named more than once: name each once")
        return self

    @property
    def demanded(self) -> tuple[str, ...]:
        """The sets of characters, of each of which a password has at least one."""
        return tuple(filter(None, (*(CHARACTERS[name] for name in self.sets), self.symbols)))

    @property
    def letters(self) -> str:
        """What a password begins with, so that YAML never reads a number."""
        return "".join(filter(str.isalpha, self.alphabet))

    @property
    def alphabet(self) -> str:
        """All characters that it may have."""
        return "".join(self.demanded)

    @property
    def needs_quoting(self) -> bool:
        """Whether it may have a character that means something else in a URI, a shell, YAML or SQL."""
        return not HARMLESS.issuperset(self.symbols)
