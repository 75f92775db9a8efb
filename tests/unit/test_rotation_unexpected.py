"""An exception that nobody translated, wherever a rotation meets it: the run ends with a verdict, the next one well."""

from collections.abc import Callable
from typing import Any

import pytest
from rotation_facts import OPTIONS
from rotation_simulation import Simulation
from rotation_world import World
from test_rotation_properties import GOOD_ENDS, check_invariants, check_rotated, check_settled, run

from infra.credentials import Strategy
from infra.errors import Conflict, KeyturnError, LoginRefused, Unexpected, WorkloadUnhealthy, as_own_error
from infra.rotation import execution
from infra.rotation.execution import Ending, Verdict, execute
from infra.rotation.observation import Observation
from infra.rotation.plan import Plan, make_plan
from infra.rotation.steps import Action, OnFailure, Step

VALUE = "s3cret"


class Surprised(Simulation):
    """Executes as usual, but for what the test replaces."""

    surprise: Callable[[Step], bool] = staticmethod(lambda _: False)

    def execute(self, plan: Plan, step: Step) -> None:
        super().execute(plan, step)
        if self.surprise(step):
            raise ZeroDivisionError(f"password={VALUE}")


def surprised(world: World, surprise: Callable[[Step], bool], kind: type[Surprised] = Surprised) -> Ending:
    executor = kind(world, OPTIONS)
    executor.surprise = surprise  # type: ignore[method-assign, assignment]
    return execute(executor, world.credential, OPTIONS, "r1")


def planned(world: World) -> tuple[Step, ...]:
    return make_plan(world.credential, OPTIONS, Simulation(world).observe(), "r1").steps


@pytest.mark.parametrize("strategy", list(Strategy))
def test_after_any_step_it_ends_with_a_verdict_and_the_next_run_ends_well(strategy: Strategy) -> None:
    steps = planned(World.healthy(strategy=strategy, clients="own Secret"))
    assert steps
    for nth in range(len(steps)):
        world = World.healthy(strategy=strategy, clients="own Secret")
        left = iter(range(nth, -1, -1))
        ending = surprised(world, lambda _, left=left: next(left, 1) == 0)  # type: ignore[misc]
        step = ending.failed
        assert step is not None
        error = ending.error
        assert error is not None
        while error.cause:
            error = error.cause
        assert (type(error), error.code) == (Unexpected, "Unexpected")
        assert error.seen.startswith("builtins.ZeroDivisionError at "), error.seen
        assert VALUE not in str(ending.error)
        expected = {OnFailure.REFUSE: Verdict.REFUSED, OnFailure.ALWAYS_ROLL_BACK: Verdict.ROLLED_BACK}
        assert ending.verdict is expected.get(step.on_failure, Verdict.NEEDS_OPERATOR), step
        check_invariants(world)
        again = run(world, fresh_id="again")
        assert again is not None
        assert again.verdict is Verdict.ROTATED
        check_rotated(world)


class Blind(Surprised):
    """Cannot look any more once a step was executed."""

    is_blind = False

    def observe(self) -> Observation:
        if self.is_blind:
            raise ConnectionError(VALUE)
        return super().observe()

    def execute(self, plan: Plan, step: Step) -> None:
        super().execute(plan, step)
        self.is_blind = True


def test_where_nothing_can_be_observed_nothing_begins() -> None:
    world = World.healthy()
    before, executor = world.newest_versions, Blind(world, OPTIONS)
    executor.is_blind = True
    ending = execute(executor, world.credential, OPTIONS, "r1")
    assert (ending.verdict, type(ending.error)) == (Verdict.REFUSED, Unexpected)
    assert (world.newest_versions, world.candidate) == (before, None)


def test_where_nothing_can_be_observed_any_more_a_person_is_asked() -> None:
    world = World.healthy()
    ending = surprised(world, lambda _: False, Blind)
    assert (ending.verdict, type(ending.error)) == (Verdict.NEEDS_OPERATOR, Unexpected)
    assert run(world, fresh_id="again") is not None
    check_settled(world)


def test_a_planner_that_fails_ends_the_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Plan:
        raise KeyError(VALUE)

    world = World.healthy()
    monkeypatch.setattr(execution, "make_plan", fail)
    ending = execute(Simulation(world), world.credential, OPTIONS, "r1")
    assert (ending.verdict, type(ending.error)) == (Verdict.REFUSED, Unexpected)
    assert VALUE not in str(ending.error)


class Stuck(Simulation):
    """A proof fails, and then the rollback cannot be noted."""

    def execute(self, plan: Plan, step: Step) -> None:
        if step.action is Action.AWAIT_READY:
            raise WorkloadUnhealthy("not ready", name=str(step.subject))
        super().execute(plan, step)

    def begin_rollback(self, plan: Plan, step: Step) -> None:
        raise OSError(VALUE)


def test_a_rollback_that_cannot_begin_stops_with_both_causes() -> None:
    world = World.healthy()
    ending = execute(Stuck(world), world.credential, OPTIONS, "r1")
    assert ending.verdict is Verdict.NEEDS_OPERATOR
    assert ending.error is not None
    assert ending.error.cause is not None
    assert type(ending.error.cause) is Unexpected
    assert type(ending.error.cause.cause) is WorkloadUnhealthy
    assert VALUE not in str(ending.error)
    again = run(world, fresh_id="again")
    assert again is not None
    assert again.verdict in GOOD_ENDS
    check_settled(world)


def test_an_error_of_ours_stays_what_it_is() -> None:
    error = LoginRefused("It is refused", name="db")
    assert as_own_error(error, "another name") is error


def test_the_place_of_an_exception_is_the_last_one_in_keyturn() -> None:
    try:
        execution.explain_stop(None, None, None, None)  # type: ignore[arg-type]
    except AttributeError as exception:
        error = as_own_error(exception, "db")
    assert error.name == "db"
    assert error.seen.startswith("builtins.AttributeError at infra.rotation.execution:")


def test_a_repr_reads_like_the_sentence_in_one_line() -> None:
    error = Conflict("Taken", name="db", fix="wait", cause=KeyturnError("It moved", name="web"))
    assert repr(error) == r"Conflict('Taken: db. Fix: wait.\nCause: It moved: web.')"
