"""A login: a username and a password, as they live inside one task, and the parts of it that a rotation changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


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
