"""The preflight: what blocks refuses a rotation that has not begun, a warning does not, and all of it is shown."""

import pytest
from rotation_facts import HEALTHY, OPTIONS, with_candidate

from infra.errors import AccessDenied, Code, DatabaseUnreachable, Refused
from infra.rotation.execution import Ending, Verdict, execute
from infra.rotation.observation import Observation
from infra.rotation.plan import Plan
from infra.rotation.preflight import Finding, refuse
from infra.rotation.steps import Step
from testing.walkthrough import DEXTER

DENIED = AccessDenied("You may not patch deployments", name="shop/api", seen="forbidden", fix="bind the role", code="X")
UNREACHABLE = DatabaseUnreachable("No database answers", name="db:5432")


class Preflighting:
    """An executor of one rotation that has findings, and records what it shows and does."""

    def __init__(self, observation: Observation, *findings: Finding) -> None:
        self.observation, self.findings = observation, findings
        self.shown, self.executed = list[Plan](), list[Step]()

    def observe(self) -> Observation:
        return self.observation

    def preflight(self, plan: Plan) -> tuple[Finding, ...]:
        return self.findings

    def show(self, plan: Plan) -> None:
        self.shown.append(plan)

    def execute(self, plan: Plan, step: Step) -> None:
        self.executed.append(step)
        raise UNREACHABLE

    def begin_rollback(self, plan: Plan, step: Step) -> None:
        raise AssertionError

    def run(self) -> Ending:
        return execute(self, DEXTER, OPTIONS, "r1")


def test_what_blocks_refuses_the_rotation_before_its_first_step() -> None:
    executor = Preflighting(HEALTHY, Finding(DENIED))
    ending = executor.run()
    assert ending.verdict is Verdict.REFUSED
    assert isinstance(ending.error, Refused)
    assert (ending.error.code, ending.error.name, ending.error.fix) == ("X", "shop/api", "bind the role")
    assert executor.executed == []
    assert executor.shown[0].findings == (Finding(DENIED),)


def test_a_warning_is_shown_and_stops_nothing() -> None:
    executor = Preflighting(HEALTHY, Finding(DENIED, is_blocking=False))
    executor.run()
    assert executor.executed != []
    assert executor.shown[0].refusal is None
    assert executor.shown[0].findings == (Finding(DENIED, is_blocking=False),)


def test_a_rotation_that_has_begun_is_resumed_without_a_preflight() -> None:
    executor = Preflighting(with_candidate(HEALTHY), Finding(DENIED))
    executor.run()
    assert executor.executed != []
    assert executor.shown[0].findings == ()


def test_several_findings_are_all_told_each_on_a_line_of_its_own() -> None:
    refusal = refuse([Finding(DENIED), Finding(UNREACHABLE), Finding(DENIED, is_blocking=False)], "orders-db")
    assert refusal is not None
    assert refusal.code == Code.PREFLIGHT
    first, *causes = str(refusal).split("\nCause: ")
    assert "orders-db. Seen: 2 findings" in first
    assert causes == [str(DENIED), str(UNREACHABLE)]


@pytest.mark.parametrize("findings", [[], [Finding(DENIED, is_blocking=False)]])
def test_nothing_that_blocks_refuses_nothing(findings: list[Finding]) -> None:
    assert refuse(findings, "orders-db") is None
