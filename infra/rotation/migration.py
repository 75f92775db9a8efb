"""What stands between a login that owns everything and two that take turns: plan and objections. Pure.

The strategy alternating needs an owner role that cannot log in. A migration makes it of the present role, in one
transaction; a plan shows that transaction before.
"""

from dataclasses import dataclass

from infra.errors import Conflict, KeyturnError, Refused
from infra.targets import Target


@dataclass(frozen=True)
class LoginFacts:
    """A login and what it has, without its name.

    Args:
        others: how many logins take turns with it; None where it becomes no owner role yet.
        is_name_taken: whether there is a role of the owner's name already.
        relations: how many it owns in this database, without those that initdb made.
        sessions: how many it has open.
        settings: how many settings its sessions begin with.
        may_rename: whether the one who looks can make the change.
    """

    others: int | None
    is_name_taken: bool
    relations: int
    sessions: int
    settings: int
    may_rename: bool


@dataclass(frozen=True)
class Change:
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
        changes: in their order; none where it is done.
        refusal: why they must not be made; None when they may.
    """

    changes: tuple[Change, ...]
    refusal: KeyturnError | None = None


def plan_migration(target: Target, facts: LoginFacts, unfinished: str = "") -> Migration:
    """Say what is left to do.

    Args:
        target: the credential, by names.
        facts: what was seen of its login.
        unfinished: the id of a rotation that is under way; empty for none.
    """
    if facts.others is not None:
        return Migration(())
    changes = (
        Change(
            "rename the present role to its name with _owner",
            f"it keeps all it has: {facts.relations} relations in {target.database}, grants and memberships everywhere",
        ),
        Change("let the owner role log in no more", "nobody logs in as the one who owns"),
        Change(
            "make a login of the present name and password, a member of the owner role",
            "clients log in as before and notice nothing",
        ),
        Change(f"give it the {facts.settings} settings of the present one", "its sessions begin as before"),
        Change("let its sessions become the owner role", "what they make belongs to the owner, whoever logs in"),
    )
    return Migration(changes, _find_refusal(target, facts, unfinished))


def _find_refusal(target: Target, facts: LoginFacts, unfinished: str) -> KeyturnError | None:
    if unfinished:
        return Conflict(
            "A rotation is unfinished",
            name=target.vault,
            seen=f"rotation {unfinished}",
            fix="run the flow rotate, which ends it; then run this again",
            code="Unfinished",
        )
    if facts.is_name_taken:
        return Conflict(
            "The name of the owner role is taken",
            name=target.place,
            seen="there is a role of the present login's name with _owner",
            fix="rename that role, or drop it if nobody needs it",
            code="42710",
        )
    if not facts.may_rename:
        return Refused(
            "The login may not make an owner role of itself",
            name=target.place,
            seen="only a superuser, or another role that may create roles, can rename it",
            fix="name the secrets of such an administrator: target.admin_username_secret, target.admin_password_secret",
            code="42501",
        )
    return None
