"""Checks of the login itself: its password's last day, the role that its sessions act as, and what is its own alone."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from infra.credentials import Strategy, ValidUntil
from infra.errors import Code, Refused
from infra.postgres import acting_role
from infra.postgres.database import RoleChange
from infra.postgres.login_parts import extend_validity, get_valid_until
from infra.postgres.owner_role import find_owner_role, list_own_rights
from infra.rotation.preflight import Finding
from infra.rotation.strategies import STRATEGIES
from tasks.preflight.registry import Question, check
from tasks.rotation.alternate_logins import rehearse_turn
from tasks.rotation.password_change import rehearse_change
from tasks.rotation.registry import StepContext
from tasks.rotation.validity import find_set_at

LEAST_VALIDITY = timedelta(days=1)
EXTEND = RoleChange("The database does not let the password's last day be moved on", "look at the server's log")


@check
def check_valid_until(question: Question) -> Iterator[Finding]:
    """Find a password that would end on the date on which the current one does.

    It blocks if that date comes before the next rotation would: as long after this one as this one is after the last.
    """
    if question.credential.strategy is Strategy.RECREATE:
        return
    current = question.current
    with question.access.database.accepting_md5.connected(current) as connection:
        until, now = get_valid_until(connection, current.username)
    if until is None or _will_extend(question, now):
        return
    age = now - find_set_at(question.access)
    yield Finding(
        Refused(Code.VALID_UNTIL_STAYS, name=question.credential.name, seen=f"{until:%Y-%m-%d %H:%M %Z}"),
        is_blocking=until < now + max(age, LEAST_VALIDITY),
    )


def _will_extend(question: Question, now: datetime) -> bool:
    """Return whether the rotation moves the date on: it is told to, and has the right."""
    strategy, access = question.credential.strategy, question.access
    if question.credential.valid_until is ValidUntil.KEEP or strategy is Strategy.MANAGED:
        return False
    if strategy is Strategy.ALTERNATING:
        return True
    by = access.administrator or question.current
    with access.database.accepting_md5.changing(by, EXTEND, is_rehearsal=True) as connection:
        connection.execute("SET LOCAL ROLE NONE")
        return extend_validity(connection, question.current.username, LEAST_VALIDITY)


@check
def check_alternate_login(question: Question) -> Iterator[Finding]:
    """Rehearse the alternate login, and find sessions that do not act as the owner role, and rights of one login."""
    credential, access = question.credential, question.access
    if not STRATEGIES[credential.strategy].needs_alternates or question.observation.alternates is None:
        return
    current = question.current
    with access.database.accepting_md5.connected(current) as connection:
        owner, own = find_owner_role(connection, current.username), list_own_rights(connection, current.username)
    if own:
        error = Refused(Code.RIGHTS_OF_ONE_LOGIN, name=credential.name, seen=", ".join(own))
        yield Finding(error, is_blocking=False)
    if owner:
        acting_role.prove_acts_as(access.database.accepting_md5, current, owner.name)
    rehearse_turn(_step(question), access, current)


@check
def check_password_change(question: Question) -> Iterable[Finding]:
    """Rehearse the new password of a login that keeps its name; what the database refuses is raised."""
    if question.works and question.credential.strategy is Strategy.IN_PLACE:
        rehearse_change(_step(question), question.access, question.current)
    return ()


def _step(question: Question) -> StepContext:
    """Return what a rehearsal is about."""
    return StepContext(
        question.credential, question.options, question.plan.rotation_id, question.credential.name, mark=""
    )
