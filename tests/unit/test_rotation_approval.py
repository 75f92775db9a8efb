"""An approval: of these steps, for these versions, by the rotation with this id; and never a way around the window."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.logging import disable_run_logger
from rotation_facts import OPTIONS
from rotation_simulation import Simulation
from rotation_world import Killed, World
from test_rotation_properties import Bomb, check_rotated, run

from flows import rotate as flow_module
from flows.rotate import TaskExecutor, _check_guards
from infra.credentials import UNTIL_NEXT_ROTATION, Credential, Strategy
from infra.errors import Code, Refused
from infra.rotation.execution import Ending, Verdict, execute
from infra.rotation.observation import Observation
from infra.rotation.options import Guards, Sync
from infra.rotation.plan import Plan
from infra.rotation.steps import Step
from tasks.rotation import approval
from tasks.rotation.approval import Answer, Approval, Question, find_question

FIRST_ID, NEXT_ID = "20260101-120000-aaaa", "20260101-130000-bbbb"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AFTERNOON = Guards(approval=True, window_start="12:00", window_end="14:00", approval_timeout_hours=6)


class Suspended(BaseException):
    """The run is suspended: nothing after it runs."""


class Executor(TaskExecutor):
    """Rotates in a simulated world."""

    def __init__(self, world: World) -> None:
        super().__init__(world.credential, OPTIONS, FIRST_ID)
        self.simulation = Simulation(world, OPTIONS)

    @property
    def world(self) -> World:
        return self.simulation.world

    def observe(self) -> Observation:
        self._observation = self.simulation.observe()
        return self._observation

    look = observe

    def show(self, plan: Plan) -> None:
        self.plans.append(plan)

    def execute(self, plan: Plan, step: Step) -> None:
        self._observation = None
        self.simulation.execute(plan, step)


class Person:
    """Prefect's part of an approval, and the clock: what was asked, what is answered, and when it is now."""

    def __init__(self) -> None:
        self.now, self.keys, self.waited = NOON, set[str](), list[float]()
        self.answer, self.timeout = Answer.APPROVE, 0

    def find_question(self) -> Question | None:
        return next((Question(*key.split("-", 3)[1:]) for key in self.keys), None)

    def suspend(self, *, key: str, timeout: int, **_: Any) -> Approval:
        if key in self.keys:
            return Approval(answer=self.answer, reason="as agreed")
        self.keys.add(key)
        self.timeout = timeout
        raise Suspended

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    made = Person()

    class Clock:
        @staticmethod
        def now(_: Any) -> datetime:
            return made.now

    monkeypatch.setattr(approval, "suspend_flow_run", made.suspend)
    monkeypatch.setattr(approval, "wait_for_window", made.wait)
    monkeypatch.setattr(approval.deployment, "id", "d1", raising=False)
    monkeypatch.setattr(flow_module, "find_question", made.find_question)
    for module in (approval, flow_module):
        monkeypatch.setattr(module, "datetime", Clock)
    with disable_run_logger():
        yield made


@pytest.fixture
def executor() -> Executor:
    return Executor(World.healthy(strategy=Strategy.ALTERNATING, clients="own Secret", now=NOON - timedelta(days=9)))


def attempt(executor: Executor, guards: Guards, fresh_id: str = FIRST_ID) -> str:
    """Run the guards as an attempt of a run does; return how it ended: a verdict's words, "suspended" or "begins"."""
    asked = flow_module.find_question()
    executor.fresh_id = asked.rotation_id if asked else fresh_id
    try:
        state = _check_guards(executor, guards)
    except Suspended:
        return "suspended"
    return "begins" if state is None else str(state.message).partition(": ")[2].partition(".")[0]


def rotate(executor: Executor, rotation_id: str = FIRST_ID) -> Ending:
    """Do what an attempt does behind the guards."""
    return execute(executor, executor.credential, executor.options, rotation_id)


def assert_changed(ending: Ending, seen: str) -> None:
    assert (ending.verdict, ending.executed, ending.failed) == (Verdict.REFUSED, (), None)
    assert type(ending.error) is Refused
    assert ending.error.code == Code.PLAN_CHANGED
    assert ending.error.seen == f"the {seen} are others than those approved"


def test_the_approved_rotation_is_the_performed_one(executor: Executor, person: Person) -> None:
    assert attempt(executor, AFTERNOON) == "suspended"
    assert executor.plans[-1].rotation_id == FIRST_ID
    assert person.timeout == 6 * 3600
    assert attempt(executor, AFTERNOON, NEXT_ID) == "begins"
    asked = person.find_question()
    assert asked is not None
    assert asked.rotation_id == FIRST_ID
    assert not person.waited
    ending = rotate(executor, asked.rotation_id)
    assert (ending.verdict, ending.rotation_id, ending.error) == (Verdict.ROTATED, FIRST_ID, None)
    check_rotated(executor.world)


def test_nobody_is_asked_outside_the_window(executor: Executor, person: Person) -> None:
    person.now = NOON.replace(hour=15)
    assert attempt(executor, AFTERNOON) == "outside window"
    assert (person.keys, person.waited) == (set(), [])


def test_an_approval_that_comes_after_the_window_waits_for_the_next(executor: Executor, person: Person) -> None:
    assert attempt(executor, AFTERNOON) == "suspended"
    person.now = NOON + timedelta(hours=20)
    assert attempt(executor, AFTERNOON) == "begins"
    assert person.waited == [4 * 3600]
    assert person.now == NOON + timedelta(days=1)


def test_an_approval_does_not_wait_longer_than_an_answer_may_take(executor: Executor, person: Person) -> None:
    assert attempt(executor, AFTERNOON) == "suspended"
    person.now = NOON + timedelta(hours=2)
    assert attempt(executor, AFTERNOON) == "outside window"
    assert not person.waited


def test_other_steps_than_the_approved_ones_are_refused(executor: Executor, person: Person) -> None:
    versions = executor.world.newest_versions
    assert attempt(executor, AFTERNOON) == "suspended"
    assert attempt(executor, AFTERNOON) == "begins"
    executor.options = OPTIONS.model_copy(update={"sync": Sync.EXPRESS})
    assert_changed(rotate(executor), "steps")
    assert (executor.world.newest_versions, executor.world.candidate) == (versions, None)


def test_another_strategy_than_the_approved_one_is_refused(executor: Executor, person: Person) -> None:
    assert attempt(executor, AFTERNOON) == "suspended"
    assert attempt(executor, AFTERNOON) == "begins"
    executor.world.strategy = Strategy.IN_PLACE
    executor.credential = executor.world.credential
    assert_changed(rotate(executor), "steps")


def test_other_versions_than_the_approved_ones_are_refused(
    executor: Executor, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attempt(executor, AFTERNOON) == "suspended"
    person.now = NOON + timedelta(hours=20)
    wait = person.wait

    def write_meanwhile(seconds: float) -> None:
        wait(seconds)
        executor.world.write("password", executor.world.newest[1])

    monkeypatch.setattr(approval, "wait_for_window", write_meanwhile)
    assert attempt(executor, AFTERNOON) == "begins"
    versions = executor.world.newest_versions
    assert_changed(rotate(executor), "versions that the rotation replaces")
    assert (executor.world.newest_versions, executor.world.candidate) == (versions, None)


def test_another_rotation_than_the_approved_one_is_refused(executor: Executor, person: Person) -> None:
    assert attempt(executor, AFTERNOON) == "suspended"
    assert attempt(executor, AFTERNOON) == "begins"
    ending = rotate(executor, NEXT_ID)
    assert ending.error is not None
    assert (ending.verdict, ending.executed, ending.error.code) == (Verdict.REFUSED, (), Code.PLAN_CHANGED)


def test_a_declined_plan_ends_at_once_whatever_the_window(executor: Executor, person: Person) -> None:
    assert attempt(executor, AFTERNOON) == "suspended"
    person.now, person.answer = NOON + timedelta(hours=20), Answer.DECLINE
    assert attempt(executor, AFTERNOON) == "declined"
    assert not person.waited


def test_a_password_that_somebody_changed_meanwhile_is_left_alone(executor: Executor, person: Person) -> None:
    guards = AFTERNOON.model_copy(update={"minimum_age_hours": 24})
    assert attempt(executor, guards) == "suspended"
    executor.world.now = person.now
    executor.world.write("password", executor.world.newest[1])
    assert attempt(executor, guards) == "too young"


def test_a_run_that_is_retried_meets_all_its_guards_again(executor: Executor, person: Person) -> None:
    assert attempt(executor, AFTERNOON) == "suspended"
    assert attempt(executor, AFTERNOON) == "begins"
    person.keys.clear()  # what Prefect does when a run leaves a final state
    assert attempt(executor, AFTERNOON, NEXT_ID) == "suspended"
    asked = person.find_question()
    assert asked is not None
    assert asked.rotation_id == NEXT_ID
    person.keys.clear()
    person.now = NOON.replace(hour=15)
    assert attempt(executor, AFTERNOON) == "outside window"


@pytest.mark.parametrize("run_count", [1, 2, 7])
def test_how_often_a_run_was_started_opens_no_window(
    executor: Executor, person: Person, run_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(run_count))
    person.now = NOON.replace(hour=15)
    assert attempt(executor, AFTERNOON.model_copy(update={"approval": False})) == "outside window"
    young = Guards(minimum_age_hours=24 * 365)
    assert attempt(executor, young) == "too young"


@pytest.fixture
def slots(executor: Executor, person: Person, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The flow rotates in the simulated world; it waits for its slots for these seconds."""
    seconds = [0.0]

    @contextmanager
    def held(_: Credential) -> Iterator[bool]:
        person.now += timedelta(seconds=seconds[0])
        yield True

    monkeypatch.setattr(flow_module, "slots_held", held)
    monkeypatch.setattr(flow_module, "rotation_locked", lambda *_: nullcontext())
    monkeypatch.setattr(flow_module, "get_credential", lambda _: executor.credential)
    monkeypatch.setattr(flow_module, "TaskExecutor", lambda *_: executor)
    monkeypatch.setattr(executor, "report", lambda _: None)
    monkeypatch.setattr(flow_module, "_end", lambda _, ending: ending)
    return seconds


def rotate_in_the_window(executor: Executor) -> Any:
    guards = AFTERNOON.model_copy(update={"approval": False})
    return flow_module.rotate.fn(executor.credential.name, dry_run=False, guards=guards)


@pytest.mark.parametrize("hours", [1.9, 2.1])
def test_a_rotation_that_waited_for_its_slots_begins_in_its_window_only(
    executor: Executor, slots: list[float], hours: float
) -> None:
    slots[0] = hours * 3600
    versions = executor.world.newest_versions
    ended = rotate_in_the_window(executor)
    if hours < 2:
        assert ended.verdict is Verdict.ROTATED
        assert executor.world.newest_versions != versions
    else:
        assert "outside window. It is Thursday 2026-01-01 14:06 Etc/UTC" in ended.message
        assert (executor.world.newest_versions, executor.world.candidate) == (versions, None)


def test_an_unfinished_rotation_that_waited_for_its_slots_is_finished_outside_its_window(
    executor: Executor, slots: list[float]
) -> None:
    executor.world.on_call = Bomb(9)
    with pytest.raises(Killed):
        rotate(executor)
    executor.world.on_call = lambda _: None
    slots[0] = 3 * 3600
    assert rotate_in_the_window(executor).verdict is Verdict.ROTATED


@pytest.mark.parametrize("calls", [6, 9, 14])
def test_an_unfinished_rotation_is_finished_by_a_retried_run_without_approval_and_outside_the_window(
    executor: Executor, person: Person, calls: int
) -> None:
    assert attempt(executor, AFTERNOON) == "suspended"
    assert attempt(executor, AFTERNOON) == "begins"
    executor.world.on_call = Bomb(calls)
    with pytest.raises(Killed):
        rotate(executor)
    executor.world.on_call = lambda _: None
    assert executor.world.live_candidate
    person.keys.clear()
    person.now = NOON.replace(hour=15)
    again = Executor(executor.world)
    assert attempt(again, AFTERNOON, NEXT_ID) == "begins"
    ending = rotate(again, NEXT_ID)
    assert (ending.verdict, ending.rotation_id, ending.error) == (Verdict.ROTATED, FIRST_ID, None)
    check_rotated(executor.world)


@pytest.mark.parametrize("grace", ["1h", UNTIL_NEXT_ROTATION])
def test_one_approval_is_of_the_end_of_a_grace_and_of_the_rotation_that_follows(person: Person, grace: str) -> None:
    world = World.healthy(strategy=Strategy.ALTERNATING, grace=grace, now=NOON - timedelta(days=9))
    run(world, fresh_id="before")
    world.now += timedelta(days=8)
    executor = Executor(world)
    assert attempt(executor, AFTERNOON) == "suspended"
    assert attempt(executor, AFTERNOON) == "begins"
    ending = rotate(executor)
    assert (ending.verdict, ending.rotation_id, ending.error) == (Verdict.ROTATED, FIRST_ID, None)


def test_what_a_run_has_asked_is_read_from_its_suspension(monkeypatch: pytest.MonkeyPatch, executor: Executor) -> None:
    class Policy:
        pause_keys = frozenset({"1", "planned", Question("aa", "bb", FIRST_ID).key})

    class Context:
        class flow_run:
            empirical_policy = Policy

    assert find_question() is None
    monkeypatch.setattr(approval.FlowRunContext, "get", lambda: Context)
    assert find_question() == Question("aa", "bb", FIRST_ID)
