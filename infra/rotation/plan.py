"""The plan: from what was observed to the steps that are left. Pure: the same observation gives the same plan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from infra.credentials import Credential, Strategy
from infra.errors import (
    Code,
    Conflict,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    NeedsOperator,
    Refused,
    SecretUnusable,
)
from infra.rotation.candidate import name_candidate
from infra.rotation.observation import Grace, Logins, LoginState, Observation, Phase
from infra.rotation.options import RotationOptions
from infra.rotation.preflight import Finding, refuse
from infra.rotation.state import RotationState
from infra.rotation.steps import Action, Rule, Step, StrategyRules
from infra.rotation.strategies import STRATEGIES

_NOT_PERMITTED = "28000"
"""The SQLSTATE of a login whose password is right, but whose role may not log in."""


class PlanStatus(StrEnum):
    """How far a rotation is."""

    OPEN = "open"
    DONE = "done"
    GRACE = "done, but for the previous login, which has its grace"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class Plan:
    """What is left of one rotation.

    Args:
        rotation_id: the rotation that the steps belong to; an unfinished one comes before the one asked for.
        status: how far it is.
        steps: what is left, in order.
        done: what is done already, in order.
        notes: what a person should know.
        refusal: why the steps must not be executed; None if they may.
        mark: the mark of a workload that the steps restart.
        is_rolling_back: whether the steps lead back to the previous values.
        strategy: whose rules made it; an unfinished rotation ends with the strategy that it began with.
        findings: what the preflight found, what blocks first.
    """

    rotation_id: str
    status: PlanStatus
    steps: tuple[Step, ...] = ()
    done: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: KeyturnError | None = None
    mark: str = ""
    is_rolling_back: bool = False
    strategy: Strategy | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_beginning(self) -> bool:
        """Whether nothing is staged yet: the rotation can still be refused without a trace."""
        return any(step.action is Action.STAGE for step in self.steps)

    def with_findings(self, findings: Sequence[Finding], name: str) -> "Plan":
        """Return the plan with what the preflight found; what blocks refuses it, unless it is refused already."""
        ordered = tuple(sorted(findings, key=lambda finding: not finding.is_blocking))
        return replace(self, findings=ordered, refusal=self.refusal or refuse(ordered, name))


def new_rotation_id(now: datetime, token: str) -> str:
    """Name a rotation by its start and a random token: `20251124-043105-k3f9`."""
    return f"{now:%Y%m%d-%H%M%S}-{token}"


def make_plan(credential: Credential, options: RotationOptions, observation: Observation, rotation_id: str) -> Plan:
    """Work out what is left to do.

    Args:
        credential: what is rotated.
        options: how the rotation goes.
        observation: what was observed.
        rotation_id: the rotation to start or resume if no other one is unfinished. If the options name one, it is
            never started, for an id is given to resume.
    """
    candidate, notes, is_asked = observation.candidate, [], True
    if candidate and candidate.phase.is_live and candidate.rotation_id != rotation_id:
        is_asked, rotation_id = False, candidate.rotation_id
        if candidate.grace is None:
            notes.append(_say_resumed(rotation_id, options.rotation_id))
    state = RotationState(credential, options, observation, rotation_id)
    if state.candidate is None and (ended := _find_end(state)):
        return ended
    if state.candidate is None and options.rotation_id:
        return Plan(rotation_id, PlanStatus.OPEN, refusal=Refused(Code.UNKNOWN_ROTATION, name=rotation_id))
    name = state.candidate.strategy if state.candidate else credential.strategy
    if name is not credential.strategy:
        notes.append(f"It began with the strategy {name.value} and ends with it.")
    strategy = STRATEGIES[name]
    is_back = state.phase is Phase.ROLLING_BACK
    if is_back:
        notes.append(f"Rotation {rotation_id} failed and is being rolled back.")
    elif state.candidate and state.candidate.grace:
        return _plan_after_grace(state, name, state.candidate.grace, is_asked)
    left, done = _split(strategy.back if is_back else strategy.forward, state)
    return Plan(
        rotation_id,
        PlanStatus.OPEN,
        _until_grace(left),
        done,
        (*notes, *strategy.notes(state)),
        _find_refusal(state, strategy),
        state.rollback_mark if is_back else state.forward_mark,
        is_back,
        name,
    )


def _say_resumed(rotation_id: str, given_id: str) -> str:
    return f"Rotation {rotation_id} is unfinished and is resumed {f'instead of {given_id}' if given_id else 'first'}."


def _split(rules: tuple[Rule, ...], state: RotationState) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    steps = [(step, is_done) for rule in rules for step, is_done in rule.steps(state)]
    left = tuple(step for step, is_done in steps if not is_done)
    return left, tuple(step for step, is_done in steps if is_done)


def _until_grace(left: tuple[Step, ...]) -> tuple[Step, ...]:
    """Leave out what comes after the beginning of a grace, if one is to begin: a later run does it."""
    end = next((number for number, step in enumerate(left, 1) if step.action is Action.BEGIN_GRACE), len(left))
    return left[:end]


def _plan_after_grace(state: RotationState, name: Strategy, grace: Grace, is_asked: bool) -> Plan:
    """Plan the end of a rotation whose previous login has its grace.

    It ends when its time is over, when nobody gives any, or at the next rotation if it was to last so long. A new
    rotation needs the login whose grace it is, so it does not begin before.
    """
    is_next = not is_asked and not state.options.rotation_id
    is_over = grace.is_over or not state.gives_grace or (grace.until is None and is_next)
    if state.phase is Phase.GRACE and is_asked and not is_over:
        return Plan(state.rotation_id, PlanStatus.GRACE, notes=(f"The previous login works {grace}.",))
    strategy = STRATEGIES[name]
    left, done = _split(strategy.ending, state)
    note = f"Rotation {state.rotation_id} is finished first: it left its previous login a grace {grace}."
    refusal = _find_refusal(state, strategy)
    if not is_over and not refusal and state.phase is Phase.GRACE:
        refusal = Refused(Code.GRACE, name=state.credential.name, seen=f"the login before works {grace}")
    return Plan(
        state.rotation_id,
        PlanStatus.GRACE,
        left,
        done,
        () if is_asked else (note,),
        refusal,
        strategy=name,
    )


def _find_end(state: RotationState) -> Plan | None:
    """Find out whether the rotation ended earlier: its tags are on the versions and no candidate is left.

    Every strategy changes the password, and publishes it last.
    """
    name, secrets = state.rotation_id, state.observation.secrets
    written = [[version for version in secret.versions if version.rotation_id == name] for secret in secrets]
    if not any(written):
        return None
    if any(version.restores for versions in written for version in versions):
        return Plan(name, PlanStatus.ROLLED_BACK, refusal=Refused(Code.ROLLED_BACK, name=name))
    if not written[-1]:
        return Plan(name, PlanStatus.OPEN, refusal=_lost_candidate(state))
    leftover = state.observation.candidate
    finish = Step(Action.FINISH, state.credential.name, "The rotation ended, and its candidate is still there.")
    return Plan(name, PlanStatus.DONE, (finish,) if leftover and leftover.rotation_id == name else ())


def _find_refusal(state: RotationState, strategy: StrategyRules) -> KeyturnError | None:
    for secret in state.observation.secrets:
        where = f"{state.credential.vault}/{secret.name}"
        if not secret.newest.enabled:
            seen = f"version {secret.newest.version}; a mount of the newest version fails"
            return SecretUnusable(Code.SECRET_DISABLED, name=where, seen=seen)
        if foreign := state.foreign_versions(secret.name):
            return _newer_version(state, where, tuple(version.version for version in foreign))
    return strategy.find_objection(state) or _find_broken_login(state)


def _find_broken_login(state: RotationState) -> KeyturnError | None:
    """Refuse to start where the current login does not work; an unfinished rotation is another matter.

    The cause is what the database answered. Only a refused login is the secrets' fault.
    """
    logins = state.observation.logins
    if state.candidate is not None or logins.current is LoginState.WORKS:
        return None
    cause, where = logins.error, str(state.credential.endpoint)
    if logins.current is not LoginState.REFUSED:
        return DatabaseUnreachable(
            "The current login cannot be proven, so no rotation starts",
            name=where,
            seen="" if cause else str(logins.current),
            fix="remove the cause below; then run again",
            code=cause.code if cause else "",
            cause=cause,
        )
    return LoginRefused(
        "The database refuses the newest versions' login, so no rotation starts",
        name=where,
        seen=logins.oddity or "no unfinished rotation explains it",
        fix=_explain_refusal(logins),
        code=cause.code if cause else "",
        cause=cause,
    )


def _explain_refusal(logins: Logins) -> str:
    if logins.oddity and logins.previous is not LoginState.WORKS:
        return "write the value again without it, as a new version: `printf` adds no line break, `echo` and editors do"
    if logins.previous is LoginState.WORKS:
        return (
            "the versions before still log in: the newest were written by hand and never reached the database. "
            "Write the previous values again as new versions, or restart the workload once its Secret has the new ones"
        )
    if logins.error and logins.error.code == _NOT_PERMITTED:
        return "let the role log in (ALTER ROLE ... LOGIN), or set the secrets to a login that the database accepts"
    return "set the secrets to a login that the database accepts, or restart the workload so that it gets theirs"


def _newer_version(state: RotationState, where: str, versions: tuple[str, ...]) -> Conflict:
    candidate = name_candidate(state.credential.secrets.names)
    return Conflict(
        Code.NEWER_VERSION,
        name=where,
        seen=f"version {', '.join(versions)}, written during rotation {state.rotation_id}; it is not overwritten",
        fix=f"To keep theirs: delete the secret {candidate}, see that the login works, and run again. "
        "To drop theirs, if it is not the newest: disable it and run again; the rotation resumes",
    )


def _lost_candidate(state: RotationState) -> NeedsOperator:
    return NeedsOperator(
        Code.CANDIDATE_LOST,
        name=f"{state.credential.name}, rotation {state.rotation_id}",
        seen="only a part of its new login is published: username and password do not belong together",
    )
