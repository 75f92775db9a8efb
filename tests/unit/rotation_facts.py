"""Observations that the planner's tests start from, and questions about the plans that they lead to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.credentials import Strategy
from infra.errors import KeyturnError
from infra.rotation.execution import Verdict, explain_stop, judge, rolls_back
from infra.rotation.observation import (
    CandidateFacts,
    ConsumerFacts,
    Logins,
    LoginState,
    Observation,
    Phase,
    Pod,
    SecretFacts,
    Synced,
    Version,
)
from infra.rotation.options import RotationOptions
from infra.rotation.plan import Plan
from infra.rotation.steps import Action, Step
from testing.walkthrough import DATABASE

OPTIONS = RotationOptions(data_loss="I accept data loss")
T0 = datetime(2026, 1, 1, tzinfo=UTC)
USES = frozenset({"username", "password"})


def version(name: str, minutes: int = 0, **changes: Any) -> Version:
    return Version(name, True, T0 + timedelta(minutes=minutes), **changes)


POD = Pod("pod-1", "uid-1", True, {"username": "u1", "password": "p1"})
HEALTHY = Observation(
    secrets=(SecretFacts("username", version("u1")), SecretFacts("password", version("p1"))),
    candidate=None,
    logins=Logins(LoginState.WORKS),
    consumers=(ConsumerFacts(DATABASE, USES, Synced.NEWEST, 1, (POD,)),),
)
STAGED = CandidateFacts(
    version="c1",
    rotation_id="r1",
    phase=Phase.STAGED,
    created_at=T0 + timedelta(minutes=5),
    base={"username": "u1", "password": "p1"},
    strategy=Strategy.RECREATE,
)
PUBLISHED = replace(
    HEALTHY,
    secrets=(
        SecretFacts("username", version("u2", 6, rotation_id="r1"), (version("u1"),)),
        SecretFacts("password", version("p2", 6, rotation_id="r1"), (version("p1"),)),
    ),
    candidate=STAGED,
    logins=Logins(LoginState.REFUSED, LoginState.REFUSED, LoginState.WORKS),
    consumers=(replace(HEALTHY.consumers[0], synced=Synced.OTHER),),
)


def with_secret(observation: Observation, facts: SecretFacts) -> Observation:
    """Return the observation with other facts about the secret of that name."""
    secrets = tuple(facts if secret.name == facts.name else secret for secret in observation.secrets)
    return replace(observation, secrets=secrets)


def with_candidate(observation: Observation, **changes: Any) -> Observation:
    """Return the observation with a candidate that differs from its own, or from the staged one, in some fields."""
    return replace(observation, candidate=replace(observation.candidate or STAGED, **changes))


def actions(steps: tuple[Step, ...]) -> list[Action]:
    return [step.action for step in steps]


def subjects(plan: Plan, action: Action) -> list[str]:
    """The subjects of the plan's steps of one action, as messages name them."""
    return [str(step.subject) for step in plan.steps if step.action is action]


def find_step(plan: Plan, action: Action, subject: str = "") -> Step:
    """The plan's first step of an action, on any subject or on this one."""
    return next(step for step in plan.steps if step.action is action and subject in ("", str(step.subject)))


def fail(plan: Plan, action: Action, error: KeyturnError, subject: str = "") -> tuple[bool, Verdict]:
    """Whether a step that fails with this error is rolled back, and how the run ends if it is not."""
    step = find_step(plan, action, subject)
    verdict = judge(plan, step, error)
    assert verdict is Verdict.REFUSED or plan.rotation_id in str(explain_stop(plan, step, error, verdict))
    return rolls_back(plan, step, error), verdict
