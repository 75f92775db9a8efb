"""How a run tells its end: each part of the error, what led to it, and what the run had done by then."""

from dataclasses import replace
from itertools import count

import pytest
from rotation_facts import HEALTHY, OPTIONS, PUBLISHED, find_step, with_candidate
from rotation_simulation import Simulation
from rotation_world import Killed, World
from test_rotation_properties import Bomb, check_settled, run

from infra.credentials import Strategy
from infra.errors import AccessDenied, KeyturnError, NeedsOperator, RolledBack, SyncPending, WorkloadUnhealthy
from infra.rotation import execution
from infra.rotation.execution import MOST_ROUNDS, Ending, Verdict, execute, explain_stop, with_cause
from infra.rotation.observation import Observation, Phase
from infra.rotation.options import RotationOptions
from infra.rotation.plan import Plan, make_plan
from infra.rotation.preflight import Finding
from infra.rotation.steps import Action, Step
from testing.walkthrough import DATABASE, DEXTER

ROOT = KeyturnError("the wire is cut", name="wire")
DENIED = AccessDenied("no rights", name="web", seen="403", fix="bind the role", code="Forbidden", cause=ROOT)
FIRST = WorkloadUnhealthy("no pod came up", name="web", code="CrashLoop")


def parts(error: KeyturnError | None) -> tuple[object, ...]:
    assert error is not None
    return type(error), error.what, error.name, error.seen, error.fix, error.code


def chain(error: KeyturnError | None) -> list[tuple[object, ...]]:
    """The parts of an error and of all its causes, the last cause last."""
    return [parts(error), *chain(error.cause)] if error else []


def test_an_error_that_gets_another_cause_keeps_every_part_and_its_own_causes() -> None:
    assert with_cause(DENIED, None) is DENIED
    assert chain(with_cause(DENIED, FIRST)) == [parts(DENIED), parts(ROOT), parts(FIRST)]
    assert chain(with_cause(ROOT, FIRST)) == [parts(ROOT), parts(FIRST)]


def stop_at(action: Action, error: KeyturnError, verdict: Verdict, cause: KeyturnError | None = None) -> KeyturnError:
    plan = make_plan(DEXTER, OPTIONS, PUBLISHED, "r1")
    return explain_stop(plan, find_step(plan, action), error, verdict, cause)


RESUMES = "un again: rotation r1 resumes here; with sync 'express' it does not wait for the driver"


@pytest.mark.parametrize(
    ("fix", "told"),
    [("", f"R{RESUMES}"), ("look", f"look. Then r{RESUMES}"), ("Look at X..", f"Look at X. Then r{RESUMES}")],
)
def test_a_sync_that_is_waited_for_again_keeps_its_parts_and_says_how(fix: str, told: str) -> None:
    late = SyncPending("it is late", name="web", seen="version u1", fix=fix, code="Late", cause=ROOT)
    error = stop_at(Action.AWAIT_SYNC, late, Verdict.SYNC_PENDING)
    assert chain(error) == [(SyncPending, "it is late", "web", "version u1", told, "Late"), parts(ROOT)]
    with_first = stop_at(Action.AWAIT_SYNC, late, Verdict.SYNC_PENDING, FIRST)
    assert chain(with_first) == [parts(error), parts(ROOT), parts(FIRST)]


@pytest.mark.parametrize(("cause", "seen"), [(None, ""), (FIRST, "it was rolling back")])
def test_a_stop_has_the_code_of_what_failed_and_all_causes_below(cause: KeyturnError | None, seen: str) -> None:
    error = stop_at(Action.STOP, DENIED, Verdict.NEEDS_OPERATOR, cause)
    top, *below = chain(error)
    assert top == (
        NeedsOperator,
        f"Rotation r1 stopped at 'scale {DATABASE.workload} to 0'",
        DATABASE.key,
        seen,
        "Nothing was deleted: the candidate and every older version are still in the vault. "
        "Remove the cause below, then run again: rotation r1 resumes here",
        "Forbidden",
    )
    assert below == [parts(error) for error in (DENIED, ROOT, cause) if error]


class Unready(Simulation):
    """No pod gets ready after the restart."""

    def execute(self, plan: Plan, step: Step) -> None:
        if step.action is Action.AWAIT_READY and not plan.is_rolling_back:
            raise FIRST
        super().execute(plan, step)


def test_a_rollback_ends_with_what_made_it_necessary() -> None:
    world = World.healthy()
    ending = execute(Unready(world), world.credential, OPTIONS, "r1")
    assert (ending.verdict, ending.rotation_id) == (Verdict.ROLLED_BACK, "r1")
    assert chain(ending.error) == [
        (
            RolledBack,
            "Rotation r1 failed and was rolled back: the previous values are in force again",
            "r1",
            "",
            "Remove the cause below; the next run starts a new rotation",
            "CrashLoop",
        ),
        parts(FIRST),
    ]
    assert ending.failed is not None
    assert ending.failed.action is Action.AWAIT_READY
    executed = [step.action for step in ending.executed]
    assert executed.index(Action.PUBLISH) < executed.index(Action.RESTORE)
    assert executed[-1] is Action.FINISH_ROLLBACK
    check_settled(world)


class Gone(Unready):
    """The process is gone once the rollback was noted."""

    def begin_rollback(self, plan: Plan, step: Step) -> None:
        super().begin_rollback(plan, step)
        Bomb(1)(self.world)


@pytest.mark.parametrize("given_id", ["", "r1"])
def test_a_rollback_that_an_earlier_run_began_ends_without_a_cause(given_id: str) -> None:
    world = World.healthy()
    with pytest.raises(Killed):
        execute(Gone(world), world.credential, OPTIONS, "r1")
    ending = run(world, OPTIONS.model_copy(update={"rotation_id": given_id}), "r2")
    assert ending is not None
    assert (ending.verdict, ending.rotation_id, ending.failed) == (Verdict.ROLLED_BACK, "r1", None)
    assert chain(ending.error) == [
        (
            RolledBack,
            "Rotation r1 failed and was rolled back: the previous values are in force again",
            "r1",
            "an earlier run says why",
            "Run again",
            "",
        )
    ]


class Unnoted(Unready):
    """The rollback cannot be noted."""

    def begin_rollback(self, plan: Plan, step: Step) -> None:
        raise DENIED


def test_a_rollback_that_cannot_be_noted_stops_at_the_step_that_failed() -> None:
    world = World.healthy()
    ending = execute(Unnoted(world), world.credential, OPTIONS, "r1")
    assert (ending.verdict, ending.rotation_id) == (Verdict.NEEDS_OPERATOR, "r1")
    top, *below = chain(ending.error)
    assert top[:3] == (NeedsOperator, f"Rotation r1 stopped at 'wait until {DATABASE.workload} is ready'", DATABASE.key)
    assert (top[3], top[5]) == ("it was rolling back", "Forbidden")
    assert below == [parts(DENIED), parts(ROOT), parts(FIRST)]
    assert ending.failed is not None
    assert (ending.failed.action, ending.failed.subject) == (Action.AWAIT_READY, DATABASE.workload)


class Noted(Unready):
    """Remembers why it is rolled back, and cannot note it in the vault."""

    noted: tuple[Plan, Step]

    def begin_rollback(self, plan: Plan, step: Step) -> None:
        self.noted = plan, step
        raise ZeroDivisionError


def test_a_rollback_is_noted_with_its_plan_and_step_and_an_error_of_that_is_named_after_the_step() -> None:
    world = World.healthy()
    executor = Noted(world)
    ending = execute(executor, world.credential, OPTIONS, "r1")
    plan, step = executor.noted
    assert (plan.rotation_id, step) == ("r1", ending.failed)
    assert step in plan.steps
    assert [error[2] for error in chain(ending.error)] == [DATABASE.key, DATABASE.key, FIRST.name]


def test_a_run_whose_first_step_fails_ends_with_that_error_itself() -> None:
    class Denied(Simulation):
        def execute(self, plan: Plan, step: Step) -> None:
            raise DENIED

    world = World.healthy()
    ending = execute(Denied(world), world.credential, OPTIONS, "r1")
    assert (ending.verdict, ending.executed) == (Verdict.REFUSED, ())
    assert ending.error is DENIED


def test_a_run_whose_sync_times_out_ends_pending_and_is_not_rolled_back() -> None:
    class Late(Simulation):
        def execute(self, plan: Plan, step: Step) -> None:
            if step.action is Action.AWAIT_SYNC:
                raise SyncPending("it is late", name="web")
            super().execute(plan, step)

    world = World.healthy()
    ending = execute(Late(world), world.credential, OPTIONS, "r1")
    assert ending.verdict is Verdict.SYNC_PENDING
    assert type(ending.error) is SyncPending
    assert ending.failed is not None
    assert ending.failed.action is Action.AWAIT_SYNC


class Scripted:
    """An executor that sees one observation after the other, and whose steps all succeed."""

    def __init__(self, *observations: Observation) -> None:
        self.observations, self.looks = observations, count()
        self.shown, self.executed = list[Plan](), list[Step]()

    def observe(self) -> Observation:
        return self.observations[min(next(self.looks), len(self.observations) - 1)]

    def preflight(self, plan: Plan) -> tuple[Finding, ...]:
        return ()

    def show(self, plan: Plan) -> None:
        self.shown.append(plan)

    def execute(self, plan: Plan, step: Step) -> None:
        self.executed.append(step)

    def begin_rollback(self, plan: Plan, step: Step) -> None:
        raise AssertionError

    def run(self, options: RotationOptions = OPTIONS) -> Ending:
        return execute(self, DEXTER, options, "r1")


def test_the_preflight_is_asked_of_the_plan_and_its_findings_are_told_of_the_credential() -> None:
    class Careful(Scripted):
        def preflight(self, plan: Plan) -> tuple[Finding, ...]:
            self.asked = plan
            return Finding(DENIED), Finding(FIRST)

    executor = Careful(HEALTHY)
    ending = executor.run()
    assert (ending.verdict, executor.executed) == (Verdict.REFUSED, [])
    assert executor.asked == replace(executor.shown[0], findings=(), refusal=None)
    assert parts(ending.error)[2:4] == ("dexter", "2 findings")


def test_a_rotation_that_is_undone_each_time_is_given_up_after_some_rounds() -> None:
    executor = Scripted(PUBLISHED)
    ending = executor.run()
    assert len(executor.shown) == MOST_ROUNDS
    assert (ending.verdict, ending.rotation_id, ending.failed) == (Verdict.NEEDS_OPERATOR, "r1", None)
    assert ending.executed == tuple(executor.executed)
    kind, what, name, seen, fix, code = parts(ending.error)
    assert (kind, name, code) == (NeedsOperator, "dexter, rotation r1", "")
    assert what == "The rotation does not end: what it does is undone each time"
    assert seen == f"{len(executor.executed)} steps in 8 rounds, the last one '{executor.executed[-1]}'"
    assert str(fix).startswith("see who else scales the workload")


@pytest.mark.parametrize("phase", [Phase.STAGED, Phase.ROLLING_BACK])
def test_what_is_found_rolled_back_is_told_as_such_where_the_run_did_something(phase: Phase) -> None:
    """Another run finished the rollback of ours meanwhile."""
    rolled_back = replace(
        PUBLISHED,
        candidate=None,
        secrets=tuple(
            replace(secret, newest=replace(secret.newest, restores="before")) for secret in PUBLISHED.secrets
        ),
    )
    idle = Scripted(rolled_back).run()
    assert (idle.verdict, idle.executed) == (Verdict.REFUSED, ())
    ending = Scripted(with_candidate(PUBLISHED, phase=phase), rolled_back).run()
    assert (ending.verdict, ending.rotation_id) == (Verdict.ROLLED_BACK, "r1")
    assert type(ending.error) is RolledBack


@pytest.mark.parametrize("strategy", list(Strategy))
def test_an_exception_that_keyturn_does_not_know_is_named_after_the_subject_of_its_step(strategy: Strategy) -> None:
    class Broken(Simulation):
        def execute(self, plan: Plan, step: Step) -> None:
            raise ZeroDivisionError

        def begin_rollback(self, plan: Plan, step: Step) -> None:
            raise AssertionError

    world = World.healthy(strategy=strategy)
    ending = execute(Broken(world), world.credential, OPTIONS, "r1")
    assert ending.verdict is Verdict.REFUSED
    assert ending.failed is not None
    assert ending.error is not None
    assert ending.error.name == str(ending.failed.subject) == world.credential.name


def test_a_look_that_fails_is_named_after_the_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Plan:
        raise KeyError

    monkeypatch.setattr(execution, "make_plan", fail)
    ending = Scripted(HEALTHY).run()
    assert ending.error is not None
    assert (ending.error.name, ending.rotation_id) == ("dexter", "r1")
    given = Scripted(HEALTHY).run(OPTIONS.model_copy(update={"rotation_id": "r9"}))
    assert given.rotation_id == "r9"
