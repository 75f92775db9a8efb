"""The migration from one login to an owner role that two logins share: its plan and what blocks it. Pure.

The strategy alternating needs an owner role that cannot log in. The migration makes the current login's role the owner
role, in one transaction; the plan says beforehand what that transaction does.

    plan_migration(credential, facts).steps[0].what   # -> "rename the login's role to its name with _owner"
"""

from dataclasses import dataclass

from infra.credentials import Credential
from infra.errors import Code, Conflict, KeyturnError, Refused


@dataclass(frozen=True)
class LoginFacts:
    """A login and what it has, without its name.

    Args:
        alternate_logins: how many other logins its owner role has; None if it has no owner role yet.
        is_owner_name_taken: whether a role already has the name that the owner role would get.
        relations: how many it owns in this database, without those that initdb made.
        sessions: how many it has open.
        settings: how many settings its sessions start with.
        may_rename: whether the session that looked may rename its role.
    """

    alternate_logins: int | None
    is_owner_name_taken: bool
    relations: int
    sessions: int
    settings: int
    may_rename: bool


@dataclass(frozen=True)
class MigrationStep:
    """One part of the transaction.

    Args:
        what: what is done.
        why: what it is for.
    """

    what: str
    why: str


@dataclass(frozen=True)
class Migration:
    """What is left to do.

    Args:
        steps: in order; none if the login has its owner role.
        refusal: why they must not be done; None if they may.
    """

    steps: tuple[MigrationStep, ...]
    refusal: KeyturnError | None = None


def plan_migration(credential: Credential, facts: LoginFacts, unfinished: str = "") -> Migration:
    """Plan what is left to do.

    Args:
        credential: the credential whose login gets an owner role.
        facts: what was seen of that login.
        unfinished: the id of an unfinished rotation; empty if there is none.
    """
    if facts.alternate_logins is not None:
        return Migration(())
    kept = f"{facts.relations} relations in {credential.database}, grants and memberships everywhere"
    steps = (
        MigrationStep("rename the login's role to its name with _owner", f"it keeps everything it has: {kept}"),
        MigrationStep("disable login for the owner role", "nobody logs in as the role that owns everything"),
        MigrationStep(
            "create a login with the current name and password, as a member of the owner role",
            "clients log in as before, with no downtime",
        ),
        MigrationStep(f"copy the current login's {facts.settings} settings to it", "its sessions start as before"),
        MigrationStep(
            "let its sessions start as the owner role",
            "what they create belongs to the owner role, whichever login created it",
        ),
    )
    return Migration(steps, _find_refusal(credential, facts, unfinished))


def _find_refusal(credential: Credential, facts: LoginFacts, unfinished: str) -> KeyturnError | None:
    if unfinished:
        return Conflict(Code.UNFINISHED, name=credential.name, seen=f"rotation {unfinished}")
    if facts.is_owner_name_taken:
        return Conflict(
            "The name of the owner role is taken",
            name=credential.name,
            seen="a role has the current login's name with _owner",
            fix="rename that role, or drop it if nobody needs it",
            code="42710",
        )
    if not facts.may_rename:
        return Refused(
            "The login's role may not be renamed",
            name=credential.name,
            seen="only a superuser, or another role that may create roles, can rename it",
            fix="name the secrets of such a role in the credential's field `administrator`",
            code="42501",
        )
    return None
