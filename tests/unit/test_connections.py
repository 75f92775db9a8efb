"""Connections that the tasks of a block share."""

from typing import Any

import pytest

from flows import rotate
from infra.credentials import ClusterRef
from infra.settings import Settings
from tasks import context
from tasks.context import connections_shared, open_cluster, opened_azure

BLUE, GREEN = (ClusterRef(name=name, resource_group="group") for name in ("blue", "green"))


class Connection:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[ClusterRef]:
    """The clusters that were connected to."""
    found: list[ClusterRef] = []

    def connect(reference: ClusterRef, _: Settings) -> Any:
        found.append(reference)
        return Connection()

    monkeypatch.setattr(context, "_connect", connect)
    return found


def test_a_block_connects_to_each_cluster_once_and_closes_it_at_its_end(opened: list[ClusterRef]) -> None:
    with connections_shared():
        first = open_cluster(BLUE)
        assert open_cluster(BLUE) is first
        other = open_cluster(GREEN)
        assert not first.is_closed  # type: ignore[attr-defined]
    assert opened == [BLUE, GREEN]
    assert all(cluster.is_closed for cluster in (first, other))  # type: ignore[attr-defined]


def test_nothing_is_kept_after_a_block_that_failed_nor_without_a_block(opened: list[ClusterRef]) -> None:
    with pytest.raises(ZeroDivisionError), connections_shared():
        kept = open_cluster(BLUE)
        raise ZeroDivisionError
    assert kept.is_closed  # type: ignore[attr-defined]
    assert open_cluster(BLUE) is not open_cluster(BLUE)
    assert opened == [BLUE] * 3


def test_a_block_within_a_block_uses_its_connections_and_leaves_them_open(opened: list[ClusterRef]) -> None:
    with connections_shared():
        first = open_cluster(BLUE)
        with connections_shared():
            assert open_cluster(BLUE) is first
        assert not first.is_closed  # type: ignore[attr-defined]
    assert opened == [BLUE]


def test_the_tasks_of_a_dry_run_share_a_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(*_: Any) -> list[Any]:
        return [enter_azure(), enter_azure()]

    def enter_azure() -> Any:
        with opened_azure() as azure:
            return azure

    monkeypatch.setattr(rotate, "_plan", plan)
    monkeypatch.setattr(rotate, "get_credential", lambda _: None)
    monkeypatch.setattr(rotate, "TaskExecutor", lambda *_: None)
    observed, tried = rotate.rotate.fn("dexter", dry_run=True)
    assert observed is tried
