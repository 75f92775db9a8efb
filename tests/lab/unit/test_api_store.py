"""The API server's storage and its watches, without HTTP."""

import asyncio
from typing import Any

import pytest

from lab.cluster.api.errors import ApiError
from lab.cluster.api.kinds.builtin import registry
from lab.cluster.api.selectors import Selection, parse_selection
from lab.cluster.api.store import Event, Store
from lab.cluster.api.watch import Watcher, WatchHub

SECRETS = registry().get("", "secrets")
PODS = registry().get("", "pods")


def secret(name: str, namespace: str = "a", **labels: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}", "labels": labels}
    return {"kind": "Secret", "apiVersion": "v1", "metadata": meta}


def names(items: list[Any]) -> list[str]:
    return [item.obj["metadata"]["name"] for item in items]


def test_every_write_has_a_revision_of_its_own() -> None:
    store = Store()
    first = store.put(SECRETS, secret("one"))
    second = store.put(SECRETS, secret("one"))
    gone = store.remove(second)
    assert first.revision < second.revision < gone.revision == store.revision
    assert second.obj["metadata"]["resourceVersion"] == str(second.revision)


def test_an_earlier_list_is_shown_as_it_was() -> None:
    store = Store()
    for name in ("a", "b"):
        store.put(SECRETS, secret(name))
    then = store.revision
    store.remove(store.items(SECRETS)[0])
    store.put(SECRETS, secret("c"))
    store.put(PODS, secret("d"))
    assert names(store.items(SECRETS)) == ["b", "c"]
    assert names(store.items_at(SECRETS, "", then)) == ["a", "b"]


def test_what_a_listener_writes_is_told_after_what_it_heard() -> None:
    store = Store()
    heard: list[str] = []

    def react(event: Event) -> None:
        if event.now.obj["metadata"]["name"] == "one":
            store.put(SECRETS, secret("two"))

    store.listen(react)
    store.listen(lambda event: heard.append(event.now.obj["metadata"]["name"]))
    store.put(SECRETS, secret("one"))
    assert heard == ["one", "two"]


def test_the_log_is_bounded_and_says_what_it_forgot() -> None:
    store = Store(log_length=3)
    revisions = [store.put(SECRETS, secret(f"s{number}")).revision for number in range(5)]
    assert store.compacted == revisions[1]
    assert [event.revision for event in store.events_since(0)] == revisions[2:]


async def test_a_watch_from_what_is_forgotten_is_gone() -> None:
    store = Store(log_length=2)
    hub = WatchHub(store)
    for number in range(4):
        store.put(SECRETS, secret(f"s{number}"))
    with pytest.raises(ApiError) as error:
        hub.open(SECRETS, "", Selection(), store.revision - 3)
    assert (error.value.code, error.value.reason) == (410, "Expired")
    watcher, begin = hub.open(SECRETS, "", Selection(), store.revision - 1)
    assert ([change.type for change in await watcher.next(1)], begin) == (["ADDED"], [])


async def test_a_watcher_that_does_not_read_is_cut_off_at_its_bound() -> None:
    store = Store()
    watcher = Watcher(SECRETS, "", Selection(), limit=10)
    store.listen(watcher.hear)
    for number in range(50):
        store.put(SECRETS, secret(f"s{number}"))
    assert watcher.is_over
    assert len(await watcher.next(1)) == 10
    assert await watcher.next(1) == []


async def test_a_watcher_waits_for_news_and_no_longer_than_asked() -> None:
    store = Store()
    hub = WatchHub(store)
    watcher, _ = hub.open(SECRETS, "a", Selection(), None)
    assert await watcher.next(0.01) == []
    waiting = asyncio.create_task(watcher.next(10))
    await asyncio.sleep(0)
    store.put(SECRETS, secret("elsewhere", "b"))
    store.put(SECRETS, secret("here"))
    assert [change.event.now.obj["metadata"]["name"] for change in await waiting] == ["here"]


async def test_expired_watches_end_with_their_reason() -> None:
    hub = WatchHub(Store())
    watcher, _ = hub.open(SECRETS, "", Selection(), None)
    hub.close_all(ApiError(410, "Expired", "too old"))
    assert await watcher.next(1) == []
    assert watcher.end is not None
    assert watcher.end.code == 410


async def test_leaving_a_selection_is_a_deletion() -> None:
    store = Store()
    hub = WatchHub(store)
    watcher, _ = hub.open(SECRETS, "", parse_selection(SECRETS, "on=yes", ""), None)
    for labels in ({}, {"on": "yes"}, {"on": "yes", "more": "x"}, {"on": "no"}):
        store.put(SECRETS, secret("one", **labels))
    assert [change.type for change in await watcher.next(1)] == ["ADDED", "MODIFIED", "DELETED"]
