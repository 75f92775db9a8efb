"""New usernames: two that take turns, so that a person sees at a glance whose turn it is."""

from collections.abc import Sequence

from infra.errors import InvalidInput

SUFFIXES = ("_a", "_b")
LENGTH = 63
"""PostgreSQL cuts names after 63 bytes, silently."""


def derive_username(current: str) -> str:
    """Name the login that follows `current`: dexter -> dexter_b -> dexter_a -> dexter_b.

    Args:
        current: the username in force.
    """
    base, suffix = (current[:-2], current[-2:]) if current.endswith(SUFFIXES) else (current, "")
    return base[: LENGTH - 2] + ("_a" if suffix == "_b" else "_b")


def choose_login(current: str, logins: Sequence[str], wanted: str = "") -> str:
    """Choose the login that takes its turn: the owner's other one, or the first that there is none yet of.

    Args:
        current: the username in force.
        logins: all logins of the owner, `current` among them.
        wanted: the one asked for; empty for none.

    Raises:
        InvalidInput: the wanted one would be a third login or is the present one; or there are several others and
            none is asked for.
    """
    others = [login for login in logins if login != current]
    if wanted == current or (wanted and others and wanted not in others):
        raise InvalidInput(
            "The new username cannot be used",
            name="options.new_username",
            seen="it is in force already" if wanted == current else "it is none of the owner's logins",
            fix="two logins take turns: give the other one's name, or none",
            code="ThirdLogin",
        )
    if len(others) > 1 and not wanted:
        raise InvalidInput(
            "It is not clear whose turn it is",
            name="options.new_username",
            seen=f"the owner role has {len(others)} other logins",
            fix="give the name of the one to use, or drop those that nobody needs",
            code="ManyLogins",
        )
    return wanted or (others[0] if others else derive_username(current))


def check_username(username: str) -> str:
    """Return `username` if PostgreSQL takes it as a login's name.

    Raises:
        InvalidInput: for names that begin with `pg_`, which PostgreSQL reserves
            (https://www.postgresql.org/docs/current/sql-createrole.html).
    """
    if username.startswith("pg_"):
        raise InvalidInput(
            "The new username cannot be used",
            name="new_username",
            seen="it begins with pg_, which PostgreSQL reserves",
            fix="Give another one, or none: then it is derived from the present one.",
            code="42939",
        )
    return username
