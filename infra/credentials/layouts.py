"""Secret layouts: how a login is kept in the vault's secrets. One class a layout, all behind one port.

layout.parse({"username": "orders_a", "password": "..."})   # -> Login(...)
layout.render(login)                                        # -> {"username": "orders_a", "password": "..."}
layout.secrets_of({Part.PASSWORD})                          # -> ("password",)
"""

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from infra.credentials.fields import Model, SecretName


@dataclass(frozen=True, repr=False)
class Login:
    """A username and a password. It lives inside one task; its repr shows neither."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Login(...)"


def find_oddity(values: Mapping[str, str]) -> str:
    """Say which values end with a line break or other white space, as files and `echo` leave it; empty if none does.

    Args:
        values: secret -> value; only the names are said.
    """
    odd = {name: value for name, value in values.items() if value != value.rstrip()}
    ends = [f"the value of {name} ends with {_describe_end(value)}" for name, value in odd.items()]
    return "; ".join(ends)


def _describe_end(value: str) -> str:
    return "a line break" if value.endswith(("\n", "\r")) else "white space"


class Part(StrEnum):
    """What a rotation changes of a login."""

    USERNAME = "username"
    PASSWORD = "password"  # noqa: S105


class Layout(Model):
    """The port: which secrets there are, and how they hold a login."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The secrets, in the order in which they are published: the password's last."""

    @abstractmethod
    def secrets_of(self, parts: Collection[Part]) -> tuple[str, ...]:
        """Return the secrets that change when these parts do, in the order in which they are published."""

    @abstractmethod
    def parse(self, values: Mapping[str, str]) -> Login:
        """Return the login that these values hold.

        Args:
            values: secret -> value, of all `names`.
        """

    @abstractmethod
    def render(self, login: Login, values: Mapping[str, str]) -> dict[str, str]:
        """Return secret -> value for a login.

        Args:
            login: the login.
            values: secret -> value of the version that is replaced: what is not the login's stays as it is.
        """

    def find_oddity(self, values: Mapping[str, str]) -> str:
        """Say what may be wrong with values whose login is refused, by their names alone; empty if nothing is."""
        return find_oddity({name: values[name] for name in self.names})


class SecretPair(Layout):
    """Two secrets: the username in one, the password in the other."""

    kind: Literal["pair"] = "pair"
    username: SecretName = Field(title="Username secret", description="The secret that holds the username.")
    password: SecretName = Field(title="Password secret", description="The secret that holds the password.")

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.username.lower() == self.password.lower():
            raise ValueError("username and password need two secrets of different names; case does not count")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The username's, then the password's."""
        return self.username, self.password

    def secrets_of(self, parts: Collection[Part]) -> tuple[str, ...]:
        """Return the secret of each part."""
        by_part = {Part.USERNAME: self.username, Part.PASSWORD: self.password}
        return tuple(name for part, name in by_part.items() if part in parts)

    def parse(self, values: Mapping[str, str]) -> Login:
        """Take the values as they are."""
        return Login(values[self.username], values[self.password])

    def render(self, login: Login, values: Mapping[str, str] = {}) -> dict[str, str]:
        """Give each part its secret."""
        return {self.username: login.username, self.password: login.password}


SecretLayout = SecretPair
"""Every layout there is."""
