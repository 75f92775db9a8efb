"""Connections that the tasks of a block share."""

from typing import Any

import pytest

from infra.settings import Settings
from tasks import connections
from tasks.connections import cluster_of, connections_kept

SETTINGS = Settings()


class Connection:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was connected to, by resource group and cluster."""
    found: list[tuple[str, str]] = []

    def connect(group: str, cluster: str, _: Settings) -> Any:
        found.append((group, cluster))
        return Connection()

    monkeypatch.setattr(connections, "_connect", connect)
    return found


def test_each_cluster_is_connected_to_once_in_a_block_and_closed_at_its_end(opened: list[tuple[str, str]]) -> None:
    with connections_kept(SETTINGS):
        first = cluster_of("group", "one", SETTINGS)
        assert cluster_of("group", "one", SETTINGS) is first
        other = cluster_of("group", "two", SETTINGS)
        assert not first.is_closed  # type: ignore[attr-defined]
    assert opened == [("group", "one"), ("group", "two")]
    assert all(one.is_closed for one in (first, other))  # type: ignore[attr-defined]


def test_nothing_is_kept_after_a_block_that_failed_nor_without_one(opened: list[tuple[str, str]]) -> None:
    with pytest.raises(ZeroDivisionError), connections_kept(SETTINGS):
        kept = cluster_of("group", "one", SETTINGS)
        raise ZeroDivisionError
    assert kept.is_closed  # type: ignore[attr-defined]
    assert cluster_of("group", "one", SETTINGS) is not cluster_of("group", "one", SETTINGS)
    assert len(opened) == 3
