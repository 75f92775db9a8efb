"""The checks of the preflight, and the task that observes a credential and makes them all.

    @check
    def paused(question: Question) -> Iterator[Finding]:
        for consumer in question.credential.consumers:
            if open_workload(question.access.cluster_of(consumer), consumer.placed).get().is_paused:
                yield Finding(Refused(Code.PAUSED, name=consumer.key))

A check changes nothing that lasts. An error of Keyturn's own that leaves it is a blocking finding itself: a missing
right or an unreachable database needs no code in the checks, and keeps no other check from being made.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from infra.credentials import Credential, Login, Strategy
from infra.errors import KeyturnError
from infra.postgres.glimpse import Glimpse, look_around
from infra.rotation.observation import LoginState, Observation
from infra.rotation.options import RotationOptions
from infra.rotation.plan import Plan, make_plan
from infra.rotation.preflight import Finding
from tasks.context import Access, opened
from tasks.reports.logs import run_logger
from tasks.retries import task_with_retries
from tasks.rotation.observe import look_at_everything


@dataclass(frozen=True)
class Question:
    """What the checks are about.

    Args:
        access: vault, cluster and database of the credential.
        options: how the rotation would go.
        observation: the state of things.
        plan: what would be done.
    """

    access: Access
    options: RotationOptions
    observation: Observation
    plan: Plan

    @property
    def credential(self) -> Credential:
        """What would be rotated."""
        return self.access.credential

    @cached_property
    def current(self) -> Login:
        """The current login: of the versions that were observed."""
        return self.access.read_login({secret.name: secret.newest.version for secret in self.observation.secrets})

    @property
    def administrator(self) -> Login | None:
        """The login that may create roles, if the credential names one."""
        return self.access.administrator

    @property
    def works(self) -> bool:
        """Whether there is a login to look into the database with; that there is none is told by the plan."""
        return self.observation.logins.current is LoginState.WORKS

    @cached_property
    def glimpse(self) -> Glimpse:
        """What the current login sees of the server, in one session for all checks."""
        return self._look(self.current)

    @cached_property
    def administrators_glimpse(self) -> Glimpse | None:
        """What the administrator sees of it, if the credential names one."""
        return self._look(self.administrator) if self.administrator else None

    def _look(self, looker: Login) -> Glimpse:
        alternates = self.credential.strategy is Strategy.ALTERNATING
        with self.access.database.accepting_md5.connected(looker) as connection:
            return look_around(connection, self.current.username, alternates=alternates)


Check = Callable[[Question], Iterable[Finding]]
CHECKS: list[Check] = []
"""Every check; complete once the modules of this package are imported."""


def check(function: Check) -> Check:
    """Register a check."""
    CHECKS.append(function)
    return function


@task_with_retries(name="Observe", run_name="{credential.name}: observe vault, consumers and database")
def observe_and_check(
    credential: Credential, options: RotationOptions, rotation_id: str
) -> tuple[Observation, tuple[Finding, ...]]:
    """Observe a credential, and make every check if a rotation would begin: by one look at the vault's values.

    Args:
        credential: what would be rotated.
        options: how the rotation would go.
        rotation_id: what it would be called.

    Raises:
        NotFound, SecretUnusable, Conflict, AccessDenied, AuthenticationFailed, ServiceFailed: as `observe`.
    """
    with opened(credential) as access:
        observation = look_at_everything(access)
        plan = make_plan(credential, options, observation, rotation_id)
        question = Question(access, options, observation, plan)
        return observation, make_checks(question) if plan.is_beginning else ()


def make_checks(question: Question) -> tuple[Finding, ...]:
    """Make every check, and return what was found: each finding once."""
    findings: dict[str, Finding] = {}
    for make in CHECKS:
        for finding in _make(make, question):
            findings.setdefault(str(finding.error), finding)
    for finding in findings.values():
        run_logger().warning("%s", finding)
    return tuple(findings.values())


def _make(make: Check, question: Question) -> Iterable[Finding]:
    try:
        yield from make(question)
    except KeyturnError as error:
        yield Finding(error)
