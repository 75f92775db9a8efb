"""Observations that the planner's tests begin with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

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
from infra.rotation.steps import Action, Step
from infra.targets import WALKTHROUGH_CONSUMER, RotationOptions, Target

TARGET = Target()
OPTIONS = RotationOptions(dry_run=False, data_loss="I accept data loss")
T0 = datetime(2026, 1, 1, tzinfo=UTC)
USES = frozenset({"username", "password"})
KEY = "dexter/postgres-pod-kv"


def version(name: str, minutes: int = 0, **changes: object) -> Version:
    return Version(name, True, T0 + timedelta(minutes=minutes), **changes)  # type: ignore[arg-type]


POD = Pod("pod-1", "uid-1", True, {"username": "u1", "password": "p1"})
WELL = Observation(
    SecretFacts("username", version("u1")),
    SecretFacts("password", version("p1")),
    None,
    Logins(LoginState.WORKS),
    (ConsumerFacts(WALKTHROUGH_CONSUMER, USES, Synced.NEWEST, 1, (POD,)),),
)
STAGED = CandidateFacts("c1", "r1", Phase.STAGED, T0 + timedelta(minutes=5), "u1", "p1")
PUBLISHED = replace(
    WELL,
    username=SecretFacts("username", version("u2", 6, rotation_id="r1"), (version("u1"),)),
    password=SecretFacts("password", version("p2", 6, rotation_id="r1"), (version("p1"),)),
    candidate=STAGED,
    logins=Logins(LoginState.REFUSED, LoginState.REFUSED, LoginState.WORKS),
    consumers=(replace(WELL.consumers[0], synced=Synced.OTHER),),
)


def actions(steps: tuple[Step, ...]) -> list[Action]:
    return [step.action for step in steps]
