"""Steps and the rules that say when one is done. A strategy is a table of rules, in their order."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from infra.errors import KeyturnError
from infra.rotation.situation import Situation
from infra.targets import Consumer


class Action(StrEnum):
    """What a step does; the value is the template of its line in the plan."""

    PROVE_CURRENT = "prove that the present login of {subject} works"
    REHEARSE = "rehearse the change of {subject} in the database and take it back"
    REHEARSE_OPENING = "rehearse opening the other login of {subject} and take it back"
    STAGE = "stage a candidate beside {subject}"
    SET_ADMINISTRATOR = "give the administrator of {subject} its new password through Azure"
    OPEN_LOGIN = "open the other login of {subject} in the database"
    HOLD = "hold {subject} at the present versions"
    PUBLISH = "publish the new version of {subject}"
    RELEASE = "let {subject} follow the newest versions again"
    AWAIT_SYNC = "wait until {subject} has the new versions"
    SET_LOGIN = "give the login of {subject} its new password in the database"
    PROVE_CANDIDATE = "prove that the new login of {subject} works"
    STOP = "scale {subject} to 0"
    REFRESH_SECRET = "bring the synced Secret {subject} up to date if it is stale"  # noqa: S105
    START = "scale {subject} up again"
    RESTART = "restart {subject} pod by pod"
    AWAIT_READY = "wait until {subject} is ready"
    CLOSE_LOGIN = "close the former login of {subject} in the database"
    VERIFY = "verify files, new login and refused old login of {subject}"
    RETIRE = "disable the older versions of {subject}"
    FINISH = "drop the candidate of {subject}"
    RESTORE_LOGIN = "give the login of {subject} its old password back in the database"
    RESTORE_ADMINISTRATOR = "give the administrator of {subject} its old password back through Azure"
    REOPEN_LOGIN = "open the former login of {subject} in the database again"
    RESTORE = "write the old value of {subject} as a new version"
    VERIFY_RESTORED = "verify that the old login of {subject} works again"
    CLOSE_CANDIDATE = "close the failed login of {subject} in the database"
    FINISH_ROLLBACK = "drop the failed candidate of {subject}"


@dataclass(frozen=True)
class Step:
    """One thing left to do.

    Args:
        action: what.
        subject: the name of what it is done to.
        reason: why, as a sentence a person understands.
    """

    action: Action
    subject: str
    reason: str = ""

    def __str__(self) -> str:
        return self.action.format(subject=self.subject)


class Username(StrEnum):
    """How a strategy calls the new login."""

    STAYS = "stays"
    DERIVED = "derived"
    OTHER = "the owner's other login"


Subjects = Callable[[Situation], tuple[str, ...]]


@dataclass(frozen=True)
class Rule:
    """When an action on a subject is done. An observation alone decides.

    Args:
        action: what.
        subjects: to what, in order.
        is_done: asks a situation about one subject.
        reason: why the step is there.
    """

    action: Action
    subjects: Subjects
    is_done: Callable[[Situation, str], bool]
    reason: str


class Strategy(Protocol):
    """How a credential is changed: two tables of rules and what speaks against it.

    Args:
        forward: what leads to the new values.
        back: what leads back to the old ones.
        username: how the new login is called.
    """

    forward: tuple[Rule, ...]
    back: tuple[Rule, ...]
    username: Username

    def restarts(self, consumer: Consumer) -> bool:
        """Say whether a consumer gets new values by a restart that the strategy makes."""

    def find_objection(self, situation: Situation) -> KeyturnError | None:
        """Say why the strategy must not be used here, if so."""

    def notes(self, situation: Situation) -> tuple[str, ...]:
        """What a person should know before it is carried out."""
