"""New usernames and passwords.

Two usernames take turns, so that a person sees at a glance which one is current: dexter -> dexter_b -> dexter_a.
"""

import secrets
import string
from collections.abc import Callable, Sequence

from infra.errors import Code, InvalidInput

SUFFIXES = ("_a", "_b")
USERNAME_LENGTH = 63
"""PostgreSQL cuts names after 63 bytes, silently."""
LETTERS = string.ascii_letters
ALPHABET = string.ascii_letters + string.digits
PASSWORD_LENGTH = 32


def derive_username(current: str) -> str:
    """Name the login that follows `current`: dexter -> dexter_b -> dexter_a -> dexter_b.

    Args:
        current: the current username.
    """
    base, suffix = (current[:-2], current[-2:]) if current.endswith(SUFFIXES) else (current, "")
    return base[: USERNAME_LENGTH - 2] + ("_a" if suffix == "_b" else "_b")


def choose_login(current: str, logins: Sequence[str], wanted: str = "") -> str:
    """Choose the alternate login: the owner's other one, or a new name if there is none.

    Args:
        current: the current username.
        logins: all logins of the owner, `current` among them.
        wanted: the one asked for; empty for none.

    Raises:
        InvalidInput: the wanted one would be a third login or is the current one; or there are several others and none
            is asked for.
    """
    others = [login for login in logins if login != current]
    if wanted == current or (wanted and others and wanted not in others):
        raise InvalidInput(
            Code.THIRD_LOGIN,
            name="new_username",
            seen="it is the current username" if wanted == current else "it is not one of the owner's logins",
        )
    if len(others) > 1 and not wanted:
        raise InvalidInput(Code.MANY_LOGINS, name="new_username", seen=f"the owner role has {len(others)} other logins")
    return wanted or (others[0] if others else derive_username(current))


def check_username(username: str) -> str:
    """Return `username` if PostgreSQL accepts it as a role's name.

    Raises:
        InvalidInput: for names that begin with `pg_`, which PostgreSQL reserves
            (https://www.postgresql.org/docs/current/sql-createrole.html).
    """
    if username.startswith("pg_"):
        raise InvalidInput(
            "The new username cannot be used",
            name="new_username",
            seen="it begins with pg_, which PostgreSQL reserves",
            fix="Give another one, or none to derive it from the current one",
            code="42939",
        )
    return username


def generate_password(length: int = PASSWORD_LENGTH, choose: Callable[[Sequence[str]], str] = secrets.choice) -> str:
    """Make a password that needs no quoting in URLs, shells, conninfo strings, YAML and SQL.

    Only letters and digits, a letter first (so that YAML never reads a number), and at least one lower case,
    one upper case letter and one digit, as Azure's password rules ask: 32 of them carry more than 185 bits.

    Args:
        length: number of characters, at least 16.
        choose: picks from a sequence; only tests pass another one.

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
