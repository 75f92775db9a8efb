"""How long a new password is valid, where the login's passwords end on a date (VALID UNTIL).

PostgreSQL keeps the date alone. When the password was set is what the vault knows: it is the age of the version that
has it, or of the version that this one restores. So the length that the password was meant to be valid for is the time
between the two, and the rule `extend` gives it to the next one.
https://www.postgresql.org/docs/current/sql-createrole.html
"""

from datetime import datetime, timedelta

from infra.credentials import Login, Part, ValidUntil
from infra.postgres.login_parts import get_valid_until
from infra.rotation.observation import RESTORES
from tasks.context import Access
from tasks.rotation.staged import recall_candidate


def find_set_at(access: Access, version: str = "") -> datetime:
    """Return when a password was set: the age of its version, or of the version whose value that one restores.

    Args:
        access: the vault.
        version: which version of the password's secret; the newest by default.
    """
    name = _password_secret(access)
    versions = access.vault.list_all(name)
    by_id = {found.version: found for found in versions}
    found = by_id[version] if version else versions[0]
    while found.tags.get(RESTORES, "") in by_id:
        found = by_id.pop(found.tags[RESTORES])
    return found.created_at


def find_valid_for(access: Access, current: Login, rotation_id: str = "") -> timedelta | None:
    """Return how long from now the next password is valid; None if it ends when the current one does, or never.

    Args:
        access: vault and database.
        current: the login that the database takes, with the password that is replaced.
        rotation_id: of an unfinished rotation, whose base versions have that password; by default the newest have it.
    """
    if access.credential.valid_until is ValidUntil.KEEP:
        return None
    with access.database.accepting_md5.connected(current) as connection:
        until, _ = get_valid_until(connection, current.username)
    if until is None:
        return None
    base = recall_candidate(access.vault, access.credential, rotation_id)[1].base if rotation_id else {}
    return until - find_set_at(access, base.get(_password_secret(access), ""))


def _password_secret(access: Access) -> str:
    (name,) = access.credential.secrets.secrets_of([Part.PASSWORD])
    return name
