"""What a rotation leaves for people to see: the plan, the sync as it went, the picture; and the tasks' retries."""

import base64
from typing import Any
from xml.etree import ElementTree

import pytest
from prefect import flow
from prefect.client.schemas.objects import Artifact
from reports import artifacts, versions_of

from infra.errors import Conflict, KeyturnError, NotYetPropagated
from tasks.policy import step
from testing.rotating import TARGET, World, fault, options_with, rotate


def rotated(verdict: str, **changes: Any) -> list[Artifact]:
    from flows.rotate import rotate as flow

    state = flow(TARGET, options_with(sync="wait", **changes), return_state=True)
    assert state.name == verdict, state.message
    return artifacts(state)


def held(table: list[dict[str, str]]) -> dict[str, str]:
    return {row["secret"]: row["has"] for row in table if row["secret"] != "both"}


def newest(world: World) -> dict[str, str]:
    return {name: world.vault.get_latest(name).version[:8] for name in ("username", "password")}


def test_the_sync_is_shown_from_the_old_versions_to_the_new(world: World) -> None:
    found = rotated("Rotated")
    last = versions_of("sync-progress", found)[-1]
    assert held(last) == newest(world)
    assert {row["new"] for row in last} == {"yes"}
    assert last[-1]["where"] == "Secret userpass"
    assert all(row["time left"].endswith(" s") for row in last)
    assert versions_of("sync-percent", found) == [100.0]
    old = newest(world)
    with fault(world.lab, "sync-paused"):
        late = rotated("SyncPending", sync_timeout_seconds=1)
    waiting = versions_of("sync-progress", late)[-1]
    assert held(waiting) == old
    assert {row["new"] for row in waiting} == {"not yet"}
    assert versions_of("sync-percent", late) == [0.0]
    assert rotate(sync="express").name == "Rotated"
    for value in world.values():
        assert value not in str([late, found])


def test_the_picture_of_a_rotation_is_an_svg_that_both_uis_show(world: World) -> None:
    [page] = [str(one.data) for one in rotated("Rotated") if one.type == "markdown"]
    data = page.partition("data:image/svg+xml;base64,")[2].partition(")")[0]
    picture = ElementTree.fromstring(base64.b64decode(data))  # noqa: S314
    texts = [one.text or "" for one in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert any(text.startswith("publish the new version of password") for text in texts)
    assert len(page) < 200_000


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(("kind", "attempts"), [(NotYetPropagated, 3), (Conflict, 1)])
def test_a_task_is_tried_again_only_if_its_error_says_so(kind: type[KeyturnError], attempts: int) -> None:
    tried: list[str] = []

    @step(name="Try", run_name="try it", retries=2, backoff_seconds=0)
    def attempt() -> None:
        tried.append("once more")
        raise kind("It failed", name="it")

    @flow(name="try")
    def trying() -> None:
        attempt()

    with pytest.raises(kind):
        trying()
    assert len(tried) == attempts
