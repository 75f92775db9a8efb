"""What a rotation leaves for people to see: the plan, the progress of the sync, the picture; and the tasks' retries."""

import base64
from typing import Any
from xml.etree import ElementTree

import pytest
from prefect import flow
from prefect.client.schemas.objects import Artifact
from reports import artifacts, versions_of

from infra.errors import Conflict, KeyturnError, NotYetPropagated
from infra.rotation.execution import Verdict
from tasks.retries import task_with_retries
from testing.bare import verdict_of
from testing.rotating import World, fault, parameters, rotate


def artifacts_of(verdict: Verdict, **changes: Any) -> list[Artifact]:
    """Run a rotation that ends as it should, and return what it made."""
    from flows.rotate import rotate as flow

    state = flow(**parameters(sync="wait", **changes), return_state=True)
    assert verdict_of(state.message or "") is verdict, state.message
    return artifacts(state)


def held(table: list[dict[str, str]]) -> dict[str, str]:
    """Secret -> the version that the pod has mounted."""
    return {row["secret"]: row["has"] for row in table if row["secret"] != "all"}


def newest(world: World) -> dict[str, str]:
    """Secret -> its newest version, as the table shows it."""
    return {name: version[:8] for name, version in world.newest_versions().items()}


def test_the_sync_is_shown_from_the_older_versions_to_the_new_ones(world: World) -> None:
    found = artifacts_of(Verdict.ROTATED)
    last = versions_of("dexter-sync", found)[-1]
    assert held(last) == newest(world)
    assert {row["new"] for row in last} == {"yes"}
    assert last[-1]["where"] == "Secret dexter/userpass"
    assert all(row["time left"].endswith(" s") for row in last)
    assert versions_of("dexter-sync-percent", found) == [100.0]
    old = newest(world)
    with fault(world.lab, "sync-paused"):
        late = artifacts_of(Verdict.SYNC_PENDING, sync_timeout_seconds=1)
    waiting = versions_of("dexter-sync", late)[-1]
    assert held(waiting) == old
    assert {row["new"] for row in waiting} == {"not yet"}
    assert versions_of("dexter-sync-percent", late) == [0.0]
    assert rotate(sync="express").verdict is Verdict.ROTATED
    assert world.values()[1] not in str([late, found])


def test_the_picture_of_a_rotation_is_an_svg_that_both_uis_show(world: World) -> None:
    found = artifacts_of(Verdict.ROTATED)
    [page] = [str(artifact.data) for artifact in found if artifact.type == "markdown"]
    data = page.partition("data:image/svg+xml;base64,")[2].partition(")")[0]
    picture = ElementTree.fromstring(base64.b64decode(data))  # noqa: S314
    texts = [element.text or "" for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert any(text.startswith("publish the new version of password") for text in texts)
    assert len(page) < 200_000


def test_the_report_says_first_how_it_ended_then_what_is_where_and_how_to_fix_it(world: World) -> None:
    with fault(world.lab, "sync-paused"):
        late = artifacts_of(Verdict.SYNC_PENDING, sync_timeout_seconds=1)
    [page] = [str(artifact.data) for artifact in late if artifact.key == "dexter-rotation-report"]
    assert page.startswith("**dexter: sync pending.** ")
    titles = ["What happened", "State now", "Fix", "Runbook", "History", "Time"]
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == titles
    assert "| login | the database takes the previous login |" in page
    assert f"| secret password | newest version {newest(world)['password']}, 1 older enabled |" in page
    assert "| deployment dexter/postgres-pod-kv | ready, 0 of 1 pods with the newest versions" in page
    assert "`docs/runbook.md#sync-pending`" in page
    resumed = artifacts_of(Verdict.ROTATED)
    [page] = [str(artifact.data) for artifact in resumed if artifact.key == "dexter-rotation-report"]
    assert "| login | the database takes the current login |" in page


def test_the_plan_of_a_run_that_ended_says_what_came_of_each_step(world: World) -> None:
    with fault(world.lab, "sync-paused"):
        late = versions_of("dexter-rotation-plan", artifacts_of(Verdict.SYNC_PENDING, sync_timeout_seconds=1))
    assert {row["result"] for row in late[0]} == {"to do"}
    results = [row["result"] for row in late[-1]]
    failed = results.index("failed")
    assert set(results[:failed]) == {"done"}
    assert set(results[failed + 1 :]) == {"not done"}
    resumed = versions_of("dexter-rotation-plan", artifacts_of(Verdict.ROTATED))[-1]
    again = [row["result"] for row in resumed]
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
