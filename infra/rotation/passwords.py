"""New passwords: long, random, and of characters that mean nothing anywhere they pass."""

import secrets
import string
from collections.abc import Callable, Sequence

LETTERS = string.ascii_letters
ALPHABET = string.ascii_letters + string.digits
LENGTH = 32


def generate_password(length: int = LENGTH, choose: Callable[[Sequence[str]], str] = secrets.choice) -> str:
    """Make a password that passes unquoted through URLs, shells, conninfo strings, YAML and SQL.

    Letters and digits alone, a letter first (so that YAML never reads a number), and at least one lower case,
    one upper case letter and one digit, as Azure's password rules ask: 32 of them carry more than 185 bits.

    Args:
        length: number of characters, at least 16.
        choose: picks one of a sequence; only tests give another than `secrets.choice`.

    Raises:
        ValueError: when asked for fewer than 16 characters.
    """
    if length < 16:
        raise ValueError("a password has at least 16 characters")
    while True:
        password = choose(LETTERS) + "".join(choose(ALPHABET) for _ in range(length - 1))
        if _is_mixed(password):
            return password


def _is_mixed(password: str) -> bool:
    kinds = (str.islower, str.isupper, str.isdigit)
    return all(any(kind(character) for character in password) for kind in kinds)
