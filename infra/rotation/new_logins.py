"""New usernames and passwords.

Two usernames take turns, so that a person sees at a glance which one is current: dexter -> dexter_b -> dexter_a.
"""

import secrets
from collections.abc import Callable, Sequence

from infra.credentials import SUFFIXES, PasswordRule
from infra.errors import Code, InvalidInput

USERNAME_LENGTH = 63
"""PostgreSQL cuts names after 63 bytes, silently."""


def derive_username(current: str, suffixes: tuple[str, str] = SUFFIXES) -> str:
    """Name the login that follows `current`: dexter -> dexter_b -> dexter_a -> dexter_b.

    Args:
        current: the current username.
        suffixes: of the two that take turns; the first alternate login has the second one.
    """
    suffix = next((suffix for suffix in suffixes if current.endswith(suffix)), "")
    base = current.removesuffix(suffix)[: USERNAME_LENGTH - max(map(len, suffixes))]
    return base + (suffixes[0] if suffix == suffixes[1] else suffixes[1])


def choose_login(current: str, logins: Sequence[str], wanted: str = "", suffixes: tuple[str, str] = SUFFIXES) -> str:
    """Choose the alternate login: the owner's other one, or a new name if there is none.

    Args:
        current: the current username.
        logins: all logins of the owner, `current` among them.
        wanted: the one asked for; empty for none.
        suffixes: what a new name ends with.

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
    return wanted or (others[0] if others else derive_username(current, suffixes))


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


def generate_password(
    rule: PasswordRule = PasswordRule(),  # noqa: B008
    choose: Callable[[Sequence[str]], str] = secrets.choice,
) -> str:
    """Make a password by a rule: a letter first, and at least one character of each set that the rule demands.

    Azure asks a Flexible Server's administrator for three kinds of characters, which the default has.

    Args:
        rule: its length and its characters.
        choose: picks from a sequence; only tests pass another one.
    """
    while True:
        password = choose(rule.letters) + "".join(choose(rule.alphabet) for _ in range(rule.length - 1))
        if all(set(characters) & set(password) for characters in rule.demanded):
            return password
