"""The plan: from what was seen to the steps that are left. Pure: the same observation gives the same plan."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from infra.errors import (
    Conflict,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    NeedsOperator,
    Refused,
    SecretUnusable,
)
from infra.rotation.candidate import name_candidate
from infra.rotation.observation import LoginState, Observation, Phase, SecretFacts
from infra.rotation.situation import Situation
from infra.rotation.steps import Action, Rule, Step, Strategy
from infra.rotation.strategies import STRATEGIES
from infra.targets import RotationOptions, Target
from infra.targets import Strategy as StrategyName


class Outcome(StrEnum):
    """Where a rotation is."""

    OPEN = "open"
    DONE = "done"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class Plan:
    """What is left of one rotation.

    Args:
        rotation_id: the rotation that the steps belong to; an unfinished one comes before the one asked for.
        outcome: where it is.
        steps: what is left, in order.
        done: what is done already, in order.
        notes: what a person should know.
        refusal: why the steps must not be carried out; None when they may.
        mark: what a workload that the steps restart is marked with.
        is_rolling_back: whether the steps lead back to the old values.
        strategy: whose rules it was made by; an unfinished rotation ends with the one that it began with.
    """

    rotation_id: str
    outcome: Outcome
    steps: tuple[Step, ...] = ()
    done: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: KeyturnError | None = None
    mark: str = ""
    is_rolling_back: bool = False
    strategy: StrategyName | None = None


def new_rotation_id(now: datetime, token: str) -> str:
    """Name a rotation by its beginning and a random token: `20251124-043105-k3f9`."""
    return f"{now:%Y%m%d-%H%M%S}-{token}"


def make_plan(target: Target, options: RotationOptions, observation: Observation, rotation_id: str) -> Plan:
    """Say what is left to do.

    Args:
        target: the credential, by names.
        options: how the rotation goes.
        observation: what was seen.
        rotation_id: the rotation to begin or go on with, when no other one is unfinished.
    """
    candidate, notes = observation.candidate, []
    if candidate and candidate.phase.is_live and candidate.rotation_id != rotation_id:
        notes.append(f"Rotation {candidate.rotation_id} is unfinished and is taken up first.")
        rotation_id = candidate.rotation_id
    situation = Situation(target, options, observation, rotation_id)
    if situation.candidate is None and (ended := _find_end(situation)):
        return ended
    name = situation.candidate.strategy if situation.candidate else target.strategy
    if name is not target.strategy:
        notes.append(f"It began with the strategy {name.value} and ends with it.")
    strategy = STRATEGIES[name]
    if situation.phase is Phase.ROLLING_BACK:
        notes.append(f"Rotation {rotation_id} failed and goes back to the old values.")
    is_back = situation.phase is Phase.ROLLING_BACK
    left, done = _split(strategy.back if is_back else strategy.forward, situation)
    return Plan(
        rotation_id,
        Outcome.OPEN,
        left,
        done,
        (*notes, *strategy.notes(situation)),
        _find_refusal(situation, strategy),
        situation.rollback_mark if is_back else situation.forward_mark,
        is_back,
        name,
    )


def _split(rules: tuple[Rule, ...], situation: Situation) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    left: list[Step] = []
    done: list[Step] = []
    for rule in rules:
        for subject in rule.subjects(situation):
            step = Step(rule.action, subject, rule.reason)
            (done if rule.is_done(situation, subject) else left).append(step)
    return tuple(left), tuple(done)


def _find_end(situation: Situation) -> Plan | None:
    """Find out whether the rotation ended earlier: its tags are on the versions and no candidate is left.

    Every strategy changes the password, and publishes it last.
    """
    name, seen = situation.rotation_id, situation.observation
    usernames, passwords = ([v for v in secret.versions if v.rotation_id == name] for secret in seen.secrets)
    if not (usernames or passwords):
        return None
    if any(version.restores for version in (*usernames, *passwords)):
        return Plan(name, Outcome.ROLLED_BACK, refusal=_was_rolled_back(name))
    if not passwords:
        return Plan(name, Outcome.OPEN, refusal=_lost_candidate(situation))
    leftover = situation.observation.candidate
    finish = Step(Action.FINISH, situation.target.vault, "The rotation ended; its candidate is still there.")
    return Plan(name, Outcome.DONE, (finish,) if leftover and leftover.rotation_id == name else ())


def _find_refusal(situation: Situation, strategy: Strategy) -> KeyturnError | None:
    for secret in situation.observation.secrets:
        if not secret.newest.enabled:
            return _newest_disabled(situation.target.vault, secret)
        if strangers := situation.strangers(secret.name):
            return _somebody_else_wrote(situation, secret, tuple(version.version for version in strangers))
    return strategy.find_objection(situation) or _find_broken_login(situation)


def _find_broken_login(situation: Situation) -> KeyturnError | None:
    """Refuse to begin where the present login does not work; what is unfinished was looked for before."""
    state = situation.observation.logins.current
    if situation.candidate is not None or state is LoginState.WORKS:
        return None
    where = situation.target.place
    if state is not LoginState.REFUSED:
        return DatabaseUnreachable(
            "The present login cannot be proven, so no rotation begins",
            name=where,
            seen=situation.observation.logins.detail or str(state),
            fix="see that the database runs and can be reached from here; then run again",
        )
    fix = "set the secrets to a login that the database takes, or restart the workload so that it takes theirs"
    if situation.observation.logins.previous is LoginState.WORKS:
        fix = (
            "the versions before still log in: the newest were written by hand and never reached the database. "
            "Write the former values again as new versions, or restart the workload once its Secret has the new ones"
        )
    return LoginRefused(
        "The database refuses the newest versions' login, so no rotation begins",
        name=where,
        seen="no unfinished rotation explains it",
        fix=fix,
        code="28P01",
    )


def _newest_disabled(vault: str, secret: SecretFacts) -> SecretUnusable:
    return SecretUnusable(
        "The secret's newest version is disabled",
        name=f"{vault}/{secret.name}",
        seen=f"version {secret.newest.version}; a mount of the newest version fails with it",
        fix="enable that version, or write a new one; then run again",
        code="SecretDisabled",
    )


def _somebody_else_wrote(situation: Situation, secret: SecretFacts, versions: tuple[str, ...]) -> Conflict:
    candidate = name_candidate(situation.target.username_secret, situation.target.password_secret)
    return Conflict(
        f"Somebody else wrote a newer version while rotation {situation.rotation_id} was under way",
        name=f"{situation.target.vault}/{secret.name}",
        seen=f"version {', '.join(versions)}; it is not overwritten",
        fix=f"Theirs shall hold: delete the secret {candidate}, see that the login works, and run again. "
        "Theirs is not needed and not the newest: disable it and run again, the rotation goes on",
        code="NewerVersion",
    )


def _was_rolled_back(rotation_id: str) -> Refused:
    return Refused(
        "The rotation was rolled back earlier",
        name=rotation_id,
        fix="give another rotation id, or none, to begin a new one",
        code="RolledBack",
    )


def _lost_candidate(situation: Situation) -> NeedsOperator:
    return NeedsOperator(
        "The rotation published one of two secrets and its candidate is gone",
        name=f"{situation.target.vault}, rotation {situation.rotation_id}",
        seen="username and password do not belong together",
        fix="recover the candidate secret, or write both secrets by hand; then run again without a rotation id",
        code="CandidateLost",
    )
