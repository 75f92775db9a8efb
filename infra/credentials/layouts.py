"""Secret layouts: how a login is kept in the vault's secrets. One class a layout, all behind one port.

layout.parse({"username": "orders_a", "password": "..."})   # -> Login(...)
layout.render(login)                                        # -> {"username": "orders_a", "password": "..."}
layout.secrets_of({Part.PASSWORD})                          # -> ("password",)
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from infra.credentials.encodings import Encoding
from infra.credentials.fields import Model, SecretName
from infra.credentials.login import Login, Part, find_oddity
from infra.credentials.texts import (
    ConnectionFormat,
    LoginPlaces,
    Place,
    find_in_connection_string,
    find_in_json,
    replace_places,
)
from infra.errors import Code, SecretUnusable

Username = Annotated[
    str,
    Field(
        title="Username",
        description="The login's name in the database, which the vault does not have: no rotation changes it.",
        min_length=1,
        max_length=63,
    ),
]
FieldName = Annotated[str, Field(min_length=1, max_length=255)]


class Layout(Model):
    """The port: which secrets there are, and how they hold a login."""

    encodings: dict[SecretName, Encoding] = Field(
        {},
        title="Encodings",
        description="Secret -> base64 or hex, for secrets that do not hold the text itself.",
    )

    def __hash__(self) -> int:
        """Layouts of the same secrets are seldom others."""
        return hash(self.names)

    @model_validator(mode="after")
    def _encodes_its_own(self) -> Self:
        if unknown := sorted(self.encodings.keys() - set(self.names)):
            raise ValueError(
                f"encodings name {', '.join(unknown)}, which does not hold the login: name secrets that do"
            )
        return self

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The secrets, in the order in which they are published: the password's last."""

    @property
    def keeps_username(self) -> bool:
        """Whether the vault has the username, so that a rotation can change it."""
        return True

    @property
    def is_login_alone(self) -> bool:
        """Whether the secrets hold the parts of a login as they are, and nothing else."""
        return False

    @abstractmethod
    def secrets_of(self, parts: Collection[Part]) -> tuple[str, ...]:
        """Return the secrets that change when these parts do, in the order in which they are published."""

    def parse(self, values: Mapping[str, str]) -> Login:
        """Return the login that these values hold.

        Args:
            values: secret -> value, of all `names`.

        Raises:
            SecretUnusable: a value does not hold it in the layout's way.
        """
        return self._parse(self._decode(values))

    def render(self, login: Login, values: Mapping[str, str] = {}) -> dict[str, str]:
        """Return secret -> value for a login.

        Args:
            login: the login.
            values: secret -> value of the version that is replaced: what is not the login's stays as it is. Layouts
                whose secrets hold nothing else need none.

        Raises:
            SecretUnusable: a value does not hold a login in the layout's way.
        """
        rendered = self._render(login, self._decode(values))
        return {
            name: self.encodings[name].write(text) if name in self.encodings else text
            for name, text in rendered.items()
        }

    def find_oddity(self, values: Mapping[str, str]) -> str:
        """Say what may be wrong with values whose login is refused, by their names alone; empty if nothing is."""
        return self._find_oddity(self._decode(values))

    @abstractmethod
    def _parse(self, texts: Mapping[str, str]) -> Login: ...

    @abstractmethod
    def _render(self, login: Login, texts: Mapping[str, str]) -> dict[str, str]: ...

    def _find_oddity(self, texts: Mapping[str, str]) -> str:
        return find_oddity({name: texts[name] for name in self.names})

    def _decode(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return secret -> text."""
        texts = dict(values)
        for name in self.encodings.keys() & values.keys():
            with reading(name):
                texts[name] = self.encodings[name].read(values[name])
        return texts


@contextmanager
def reading(secret: str) -> Iterator[None]:
    """Say of which secret the value cannot be read in a block; never the value."""
    try:
        yield
    except ValueError as error:
        raise SecretUnusable(Code.LAYOUT_MISMATCH, name=secret, seen=str(error)) from None


class SecretPair(Layout):
    """Two secrets: the username in one, the password in the other."""

    kind: Literal["pair"] = "pair"
    username: SecretName = Field(title="Username secret", description="The secret that holds the username.")
    password: SecretName = Field(title="Password secret", description="The secret that holds the password.")

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.username.lower() == self.password.lower():
            raise ValueError("username and password have the same secret, case does not count: give each its own")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The username's, then the password's."""
        return self.username, self.password

    @property
    def is_login_alone(self) -> bool:
        """They do, unless they are encoded: there is more than one way to write that."""
        return not self.encodings

    def secrets_of(self, parts: Collection[Part]) -> tuple[str, ...]:
        """Return the secret of each part."""
        by_part = {Part.USERNAME: self.username, Part.PASSWORD: self.password}
        return tuple(name for part, name in by_part.items() if part in parts)

    def _parse(self, texts: Mapping[str, str]) -> Login:
        """Take the values as they are."""
        return Login(texts[self.username], texts[self.password])

    def _render(self, login: Login, texts: Mapping[str, str]) -> dict[str, str]:
        """Give each part its secret."""
        return {self.username: login.username, self.password: login.password}


class PasswordAlone(Layout):
    """One secret with the password; the username is kept elsewhere, and the inventory says it."""

    kind: Literal["password"] = "password"
    username: Username
    password: SecretName = Field(title="Password secret", description="The secret that holds the password.")

    @property
    def names(self) -> tuple[str, ...]:
        """The password's."""
        return (self.password,)

    @property
    def keeps_username(self) -> bool:
        """It does not."""
        return False

    @property
    def is_login_alone(self) -> bool:
        """They do, unless they are encoded: there is more than one way to write that."""
        return not self.encodings

    def secrets_of(self, parts: Collection[Part]) -> tuple[str, ...]:
        """Return the password's, if that changes."""
        return self.names if Part.PASSWORD in parts else ()

    def _parse(self, texts: Mapping[str, str]) -> Login:
        """Take the value as it is."""
        return Login(self.username, texts[self.password])

    def _render(self, login: Login, texts: Mapping[str, str]) -> dict[str, str]:
        """Write the password alone."""
        return {self.password: login.password}


class _OneSecret(Layout):
    """One secret with a text that holds the login among other things."""

    secret: SecretName

    @property
    def names(self) -> tuple[str, ...]:
        """The one."""
        return (self.secret,)

    def secrets_of(self, parts: Collection[Part]) -> tuple[str, ...]:
        """Return the one if a part of the login changes that it holds."""
        held = set(Part) if self.keeps_username else {Part.PASSWORD}
        return self.names if held & set(parts) else ()


class JsonSecret(_OneSecret):
    """One secret with a JSON object, of which two fields hold the login."""

    kind: Literal["json"] = "json"
    username: Username | None = Field(
        None, description="The login's name, if the object does not have it; then it does not change."
    )
    username_field: FieldName | None = Field(
        None, title="Username field", description="The field that holds the username: `username` by default."
    )
    password_field: FieldName = Field(
        "password", title="Password field", description="The field that holds the password."
    )

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self._username_field == self.password_field:
            raise ValueError("username and password have the same field: give each its own")
        if self.username is not None and self.username_field is not None:
            raise ValueError(
                "username and username_field exclude each other: give the name, or the field that holds it"
            )
        return self

    @property
    def _username_field(self) -> str:
        return self.username_field or "username"

    @property
    def keeps_username(self) -> bool:
        """Whether the object has it."""
        return self.username is None

    def _parse(self, texts: Mapping[str, str]) -> Login:
        """Read the fields."""
        places = self._find(texts[self.secret])
        return Login(self.username or places[self._username_field].value, places[self.password_field].value)

    def _render(self, login: Login, texts: Mapping[str, str]) -> dict[str, str]:
        """Write the fields; the object's others stay as they are written."""
        text = texts[self.secret]
        wanted = {self._username_field: login.username, self.password_field: login.password}
        found = [(place, wanted[field]) for field, place in self._find(text).items()]
        return {self.secret: replace_places(text, found)}

    def _find_oddity(self, texts: Mapping[str, str]) -> str:
        """Look at the fields: white space after the object does not count."""
        places = self._find(texts[self.secret])
        return find_oddity({f"{field} in {self.secret}": place.value for field, place in places.items()})

    def _find(self, text: str) -> dict[str, Place]:
        fields = (self._username_field, self.password_field) if self.keeps_username else (self.password_field,)
        with reading(self.secret):
            return {field: find_in_json(text, field) for field in fields}


class ConnectionString(_OneSecret):
    """One secret with a connection string."""

    kind: Literal["connection-string"] = "connection-string"
    format: ConnectionFormat | None = Field(
        None,
        title="Format",
        description="uri: postgresql://...; jdbc: jdbc:postgresql://...; keywords: host=... user=...; ado: Host=...;"
        "Username=.... None: as the value looks.",
    )

    def _parse(self, texts: Mapping[str, str]) -> Login:
        """Read its username and its password."""
        places = self._find(texts[self.secret])
        return Login(places.username.value, places.password.value)

    def _render(self, login: Login, texts: Mapping[str, str]) -> dict[str, str]:
        """Write its username and its password; all else stays as it is written."""
        text = texts[self.secret]
        places = self._find(text)
        wanted = [(places.username, login.username), (places.password, login.password)]
        return {self.secret: replace_places(text, wanted)}

    def _find(self, text: str) -> LoginPlaces:
        with reading(self.secret):
            return find_in_connection_string(text, self.format)


def _kind_of(layout: object) -> str:
    """Tell the layouts apart; without a kind it is a pair."""
    kind = layout.get("kind", "pair") if isinstance(layout, dict) else getattr(layout, "kind", "pair")
    return str(kind)


SecretLayout = Annotated[
    Annotated[SecretPair, Tag("pair")]
    | Annotated[PasswordAlone, Tag("password")]
    | Annotated[JsonSecret, Tag("json")]
    | Annotated[ConnectionString, Tag("connection-string")],
    Discriminator(
        _kind_of,
        custom_error_type="layout",
        custom_error_message="the kind is one of pair, password, json and connection-string",
    ),
]
"""Every layout there is."""
