"""New usernames: two that take turns, so that a person sees at a glance whose turn it is."""

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
            remedy="Give another one, or none: then it is derived from the present one.",
            code="42939",
        )
    return username
