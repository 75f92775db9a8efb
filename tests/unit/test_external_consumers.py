"""Consumers outside the clusters: nobody brings them the new login, so they have time, and somebody who tells them."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from rotation_facts import HEALTHY, OPTIONS

from infra.credentials import ExternalConsumer, Strategy
from infra.rotation.plan import make_plan
from tasks.reports.rotation import describe_state
from testing.walkthrough import DEXTER, change

BILLING = ExternalConsumer(name="billing company", owner="team orders")
OUTSIDE = change(DEXTER, strategy=Strategy.ALTERNATING, grace="24h", external_consumers=(BILLING,))


@pytest.mark.parametrize(
    "fields",
    [{"grace": "now"}, {"grace": "now", "strategy": "in-place"}, {"grace": "now", "strategy": "recreate"}],
    ids=["alternating", "in-place", "recreate"],
)
def test_without_a_grace_nobody_outside_can_be_a_consumer(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"an external consumer \(billing company\) needs time to fetch"):
        change(OUTSIDE, **fields)


def test_another_strategy_gives_no_grace() -> None:
    with pytest.raises(ValidationError, match="grace needs two logins at a time"):
        change(OUTSIDE, strategy="in-place")


@pytest.mark.parametrize("grace", ["24h", "next-rotation"])
def test_the_plan_says_who_tells_it(grace: str) -> None:
    plan = make_plan(change(OUTSIDE, grace=grace), OPTIONS, replace(HEALTHY, alternates=1), "r1")
    assert "billing company, outside the cluster, told by: team orders; it needs the new login in time." in plan.notes


def test_the_report_says_who_tells_it() -> None:
    state = describe_state(HEALTHY, OUTSIDE.external_consumers)
    assert state["billing company"] == "outside the cluster; told by: team orders"
