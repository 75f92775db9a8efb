"""What a rotation leaves for people to see: the plan, the progress of the sync, the picture; and the tasks' retries."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pytest
from prefect import flow
from prefect.client.schemas.objects import Artifact
from reports import artifacts, versions_of

from flows.rotate import rotate as flow_rotate
from infra.errors import Conflict, KeyturnError, NotYetPropagated
from infra.rotation.execution import Verdict
from tasks.retries import task_with_retries
from testing.bare import verdict_of
from testing.inventory import list_shipped_alone
from testing.rotating import NAMESPACE, World, fault, parameters
from testing.rotator import ensure_bound


@dataclass(frozen=True)
class Run:
    """What a rotation made, and the newest versions when it had ended: secret -> version, as tables show it."""

    made: list[Artifact]
    newest: dict[str, str]

    def page(self, key: str) -> str:
        """The one page of a key."""
        [page] = [str(artifact.data) for artifact in self.made if artifact.key == key]
        return page

    def versions_of(self, key: str) -> list[Any]:
        return versions_of(key, self.made)


@pytest.fixture(scope="module")
def rotator(stack: World) -> Iterator[World]:
    """The stack for all tests of this file, which look at the same runs by who may rotate and no more."""
    stack.lab.faults.clear_faults()
    list_shipped_alone()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.rotator.items():
            patch.setenv(name, value)
        ensure_bound(stack.cluster, NAMESPACE)
        yield stack
    stack.lab.faults.clear_faults()


def run(world: World, verdict: Verdict, **changes: Any) -> Run:
    """Run a rotation that ends as it should."""
    state = flow_rotate(**parameters(sync="wait", **changes), return_state=True)
    assert verdict_of(state.message or "") is verdict, state.message
    return Run(artifacts(state), {name: version[:8] for name, version in world.newest_versions().items()})


@pytest.fixture(scope="module")
def rotated(rotator: World) -> Run:
    """A rotation that ended well."""
    return run(rotator, Verdict.ROTATED)


@pytest.fixture(scope="module")
def late(rotator: World, rotated: Run) -> Run:
    """The next one, which waits in vain for a paused driver."""
    with fault(rotator.lab, "sync-paused"):
        return run(rotator, Verdict.SYNC_PENDING, sync_timeout_seconds=1)


@pytest.fixture(scope="module")
def resumed(rotator: World, late: Run) -> Run:
    """The run that finishes it."""
    return run(rotator, Verdict.ROTATED)


def held(table: list[dict[str, str]]) -> dict[str, str]:
    """Secret -> the version that the pod has mounted."""
    return {row["secret"]: row["has"] for row in table if row["secret"] != "all"}


def test_the_sync_is_shown_from_the_older_versions_to_the_new_ones(rotated: Run, late: Run) -> None:
    last = rotated.versions_of("dexter-sync")[-1]
    assert held(last) == rotated.newest
    assert {row["new"] for row in last} == {"yes"}
    assert last[-1]["where"] == "Secret dexter/userpass"
    assert all(row["time left"].endswith(" s") for row in last)
    assert rotated.versions_of("dexter-sync-percent") == [100.0]
    waiting = late.versions_of("dexter-sync")[-1]
    assert held(waiting) == rotated.newest != late.newest
    assert {row["new"] for row in waiting} == {"not yet"}
    assert late.versions_of("dexter-sync-percent") == [0.0]


def test_no_password_is_in_what_is_shown(rotator: World, rotated: Run, late: Run, resumed: Run) -> None:
    assert rotator.values()[1] not in str([rotated, late, resumed])


def test_the_picture_of_a_rotation_is_an_svg_that_both_uis_show(rotated: Run) -> None:
    [page] = [str(artifact.data) for artifact in rotated.made if artifact.type == "markdown"]
    data = page.partition("data:image/svg+xml;base64,")[2].partition(")")[0]
    picture = ElementTree.fromstring(base64.b64decode(data))  # noqa: S314
    texts = [element.text or "" for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert any(text.startswith("publish the new version of password") for text in texts)
    assert len(page) < 200_000


def test_the_report_says_first_how_it_ended_then_what_is_where_and_how_to_fix_it(late: Run, resumed: Run) -> None:
    page = late.page("dexter-rotation-report")
    assert page.startswith("**dexter: sync pending.** ")
    titles = ["What happened", "State now", "Fix", "Runbook", "History", "Time"]
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == titles
    assert "| login | the database takes the previous login |" in page
    assert f"| secret password | newest version {late.newest['password']}, 1 older enabled |" in page
    assert "| deployment dexter/postgres-pod-kv | ready, 0 of 1 pods with the newest versions" in page
    assert "`docs/runbook.md#sync-pending`" in page
    assert "| login | the database takes the current login |" in resumed.page("dexter-rotation-report")


def test_the_plan_of_a_run_that_ended_says_what_came_of_each_step(late: Run, resumed: Run) -> None:
    plans = late.versions_of("dexter-rotation-plan")
    assert {row["result"] for row in plans[0]} == {"to do"}
    results = [row["result"] for row in plans[-1]]
    failed = results.index("failed")
    assert set(results[:failed]) == {"done"}
    assert set(results[failed + 1 :]) == {"not done"}
    again = [row["result"] for row in resumed.versions_of("dexter-rotation-plan")[-1]]
    assert set(again[:failed]) == {"done before"}
    assert again[failed] in ("done", "done before"), "the driver polls again, and may have been faster than the run"
    assert set(again[failed + 1 :]) == {"done"}


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(("kind", "attempts"), [(NotYetPropagated, 3), (Conflict, 1)])
def test_a_task_is_tried_again_only_if_its_error_says_so(kind: type[KeyturnError], attempts: int) -> None:
    tried: list[str] = []

    @task_with_retries(name="Try", run_name="try it", retries=2, backoff_seconds=0)
    def attempt() -> None:
        tried.append("again")
        raise kind("It failed", name="it")

    @flow(name="try")
    def trying() -> None:
        attempt()

    with pytest.raises(kind):
        trying()
    assert len(tried) == attempts
