"""Derived secrets: further secrets of the vault that are made of the login, as a connection string beside the pair.

derived = DerivedSecret(secret="orders-url", template="postgresql://{username:uri}:{password:uri}@{host}/orders")
derived.render(Login("orders", "p/w"), "db", 5432, "orders")    # -> "postgresql://orders:p%2Fw@db/orders"
"""

import base64
import json
from collections.abc import Callable, Mapping
from string import Formatter
from urllib.parse import quote

from pydantic import Field, field_validator

from infra.credentials.fields import Model, SecretName
from infra.credentials.login import Login, Part
from infra.credentials.texts import write_ado, write_keyword

FILTERS: Mapping[str, Callable[[str], str]] = {
    "raw": str,
    "uri": lambda value: quote(value, safe=""),
    "json": lambda value: json.dumps(value)[1:-1],
    "keyword": write_keyword,
    "ado": write_ado,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
}
"""How a value is written: as it is, percent-encoded, inside a text of JSON, as a value of libpq or ADO.NET, in base64.
Without one it is written as it is."""
PLACEHOLDERS = ("username", "password", "host", "port", "database")
_KNOWN = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)


class DerivedSecret(Model):
    """A secret that is rendered from a template, and published with the login that it is made of."""

    secret: SecretName
    template: str = Field(
        title="Template",
        min_length=1,
        max_length=10_000,
        description=f"Text with {_KNOWN}; a brace itself is doubled. Behind a colon stands how it is written, as in "
        f"{{password:uri}}: {', '.join(FILTERS)}.",
    )

    @field_validator("template")
    @classmethod
    def _can_be_rendered(cls, template: str) -> str:
        try:
            names = {name for _, name, _ in _split(template)}
        except ValueError as error:
            raise ValueError(f"the template cannot be used, {error}: write it with {_KNOWN}") from None
        if not names & {"username", "password"}:
            raise ValueError(
                "the template has neither {username} nor {password}, so no rotation would change it: add one of them"
            )
        return template

    @property
    def parts(self) -> frozenset[Part]:
        """The parts of the login that it is made of."""
        names = {name for _, name, _ in _split(self.template)}
        return frozenset(part for part in Part if part.value in names)

    @property
    def has_bare_password(self) -> bool:
        """Whether a password stands in other text without being told how it is written."""
        return self.template != "{password}" and any(piece[1:] == ("password", "") for piece in _split(self.template))

    def render(self, login: Login, host: str, port: int, database: str) -> str:
        """Return its value for a login and the address of its database."""
        fixed = (login.username, login.password, host, str(port), database)
        values = {"": "", **dict(zip(PLACEHOLDERS, fixed, strict=True))}
        return "".join(text + FILTERS[written or "raw"](values[name]) for text, name, written in _split(self.template))


def _split(template: str) -> list[tuple[str, str, str]]:
    """Split a template into texts, each with the placeholder behind it and how that is written; empty for none.

    Raises:
        ValueError: a brace is alone, or a placeholder or a way to write it is unknown.
    """
    pieces = list[tuple[str, str, str]]()
    for text, name, spec, conversion in Formatter().parse(template):
        if name is not None and name not in PLACEHOLDERS:
            raise ValueError(f"there is no {{{name}}}")
        if conversion or (spec and spec not in FILTERS):
            raise ValueError(f"{{{name}}} is not written as '{conversion or spec}', but as {', '.join(FILTERS)}")
        pieces.append((text, name or "", spec or ""))
    return pieces
