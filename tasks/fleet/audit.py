"""The audit of one credential: whatever a rotation would look at, and what earlier ones left behind. Read only."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from infra.credentials import Credential, Strategy
from infra.errors import KeyturnError, as_own_error
from infra.fleet.audit import Leftovers, check_schedule, check_state
from infra.fleet.schedule import Due, Facts, find_due
from infra.kubernetes.leases import find_lease
from infra.postgres.owner_role import find_owner_role, list_enabled
from infra.rotation.observation import Observation
from infra.rotation.options import RotationOptions
from infra.rotation.plan import make_plan
from infra.rotation.preflight import Finding
from tasks.context import Access, opened
from tasks.preflight import Question, denials_explained, make_checks
from tasks.retries import task_with_retries
from tasks.rotation import name_rotation
from tasks.rotation.lock import lease_name
from tasks.rotation.observe import look_at_everything


@dataclass
class Audited:
    """What an audit found at a credential.

    Args:
        credential: the credential.
        facts: what the vault tells of it; None if it could not be looked at.
        due: what it is due for next.
        observation: what was observed; None if that failed.
        findings: what a person should know; what blocks first.
        last: what the history says of its last rotation; empty if there is none.
    """

    credential: Credential
    facts: Facts | None = None
    due: Due | None = None
    observation: Observation | None = None
    findings: list[Finding] = field(default_factory=list)
    last: dict[str, str] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        """Whether nothing needs a person."""
        return not any(finding.is_blocking for finding in self.findings)


@task_with_retries(name="Audit", run_name="{credential.name}: audit", retries=0)
def audit_credential(credential: Credential, facts: Facts | None, error: KeyturnError | None) -> Audited:
    """Look at a credential. Whatever cannot be looked at is a finding itself.

    Args:
        credential: the credential.
        facts: what the scan of its vault tells.
        error: why it tells nothing.
    """
    now, audited = datetime.now(UTC), Audited(credential, facts)
    found = [Finding(error)] if error else []
    if facts:
        audited.due = find_due(credential, facts, now)
        found += check_schedule(credential, facts, audited.due, now)
        try:
            with opened(credential) as access:
                with denials_explained(credential):
                    audited.observation = look_at_everything(access)
                found += _look(access, audited.observation, now)
        except Exception as exception:
            found.append(Finding(as_own_error(exception, credential.name)))
    unique = {str(finding.error): finding for finding in found}
    audited.findings = sorted(unique.values(), key=lambda finding: not finding.is_blocking)
    return audited


def _look(access: Access, observation: Observation, now: datetime) -> Iterator[Finding]:
    credential = access.credential
    options = RotationOptions(data_loss="I accept data loss")  # nothing is executed: consent is no finding
    plan = make_plan(credential, options, observation, name_rotation())
    question = Question(access, options, observation, plan)
    yield from check_state(credential, observation, _find_leftovers(question), now)
    if plan.refusal:
        yield Finding(plan.refusal)
    if plan.is_beginning:
        yield from make_checks(question)


def _find_leftovers(question: Question) -> Leftovers:
    access, credential = question.access, question.credential
    lease = find_lease(access.cluster, credential.lock_namespace, lease_name(credential))
    enabled: tuple[str, ...] = ()
    if credential.strategy is Strategy.ALTERNATING and question.works:
        with access.database.accepting_md5.connected(question.current) as connection:
            owner = find_owner_role(connection, question.current.username)
            enabled = list_enabled(connection, owner.logins) if owner else ()
    return Leftovers(lease.holder if lease else "", lease.renewed_at if lease else None, enabled)
