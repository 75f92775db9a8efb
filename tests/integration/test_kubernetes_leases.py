"""Locks on an API server: one holder at a time, and the lock of a dead one is taken once it has expired."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from infra.errors import Conflict, NotFound
from infra.kubernetes.client import Cluster, Object, connect
from infra.kubernetes.leases import Holder, Lock, locked
from infra.settings import Settings
from testing.cluster_world import World

LEASE = "/apis/coordination.k8s.io/v1/namespaces/locks/leases/credential"
ELSEWHERE = Holder("r0", "another-machine", "1.1", "elsewhere")


@pytest.fixture(scope="module")
def world(kubeconfig: dict[str, Any]) -> Iterator[World]:
    with closing(connect(kubeconfig, Settings(request_timeout_seconds=5))) as connected:
        yield World(connected, "locks")


@pytest.fixture
def cluster(world: World) -> Cluster:
    world.cluster.delete(world.path("leases", "credential", "apis/coordination.k8s.io/v1"))
    return world.cluster


class Time:
    """A clock that stands still until somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def lock_of(cluster: Cluster, holder: Holder, time: Time | None = None) -> Lock:
    return Lock(cluster, "locks", "credential", holder, 15, time or Time())


def test_a_lock_is_taken_released_and_taken_by_the_next(cluster: Cluster) -> None:
    first = lock_of(cluster, ELSEWHERE)
    first.acquire()
    first.confirm()
    assert cluster.get(LEASE)["spec"]["holderIdentity"] == ELSEWHERE.identity
    first.release()
    assert not cluster.get(LEASE)["spec"].get("holderIdentity")
    here = Holder.of_this_process("r1")
    lock_of(cluster, here).acquire()
    assert cluster.get(LEASE)["spec"]["holderIdentity"] == here.identity


def test_a_holder_that_lives_is_named_with_the_way_to_break_its_lock(cluster: Cluster) -> None:
    theirs, time = lock_of(cluster, ELSEWHERE), Time()
    theirs.acquire()

    def pause(seconds: float) -> None:
        time.pause(seconds)
        theirs.confirm()

    with pytest.raises(Conflict) as caught:
        lock_of(cluster, Holder.of_this_process("r1"), time).acquire(pause)
    assert caught.value.code == "Locked"
    assert "elsewhere/another-machine/1.1 for r0 since 20" in caught.value.seen
    assert "kubectl delete lease credential -n locks" in caught.value.fix
    assert time.now < 15


def test_a_holder_that_gives_no_sign_of_life_is_waited_out(cluster: Cluster) -> None:
    lock_of(cluster, ELSEWHERE).acquire()
    time = Time()
    ours = lock_of(cluster, Holder.of_this_process("r1"), time)
    ours.acquire(time.pause)
    assert 15 <= time.now <= 16
    ours.confirm()


def test_the_lock_of_a_process_that_ended_here_is_free_at_once(cluster: Cluster) -> None:
    script = "from infra.kubernetes.leases import Holder; print(Holder.of_this_process('r0').process)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    here = Holder.of_this_process("r1")
    lock_of(cluster, Holder("r0", here.machine, ended, here.host)).acquire()
    time = Time()
    lock_of(cluster, here, time).acquire(time.pause)
    assert time.now == 0


def test_a_holder_takes_its_own_lock_again_and_another_one_of_the_same_process_does_not(cluster: Cluster) -> None:
    time, ours = Time(), Holder.of_this_process("r1")
    held = lock_of(cluster, ours)
    held.acquire()
    lock_of(cluster, ours, time).acquire(time.pause)
    assert time.now == 0

    def pause(seconds: float) -> None:
        time.pause(seconds)
        held.confirm()

    beside = lock_of(cluster, Holder.of_this_process("r2"), time)
    with pytest.raises(Conflict, match="Another rotation") as caught:
        beside.acquire(pause)
    assert caught.value.code == "Locked"
    with pytest.raises(Conflict, match="Somebody else took the lock") as lost:
        beside.confirm()
    assert lost.value.code == "LockLost"
    held.confirm()


def before_the_next_write(act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something happen once, between what is known of the lease and the next write of it."""
    send = Cluster.request

    def request(cluster: Cluster, method: str, *args: Any, **kwargs: Any) -> Object:
        if method == "PUT":
            monkeypatch.setattr(Cluster, "request", send)
            act()
        return send(cluster, method, *args, **kwargs)

    monkeypatch.setattr(Cluster, "request", request)


def test_a_lock_that_is_stolen_before_the_write_is_lost(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, thief = lock_of(cluster, Holder.of_this_process("r1")), lock_of(cluster, ELSEWHERE)
    ours.acquire()

    def steal() -> None:
        cluster.delete(LEASE)
        thief.acquire()

    before_the_next_write(steal, monkeypatch)
    with pytest.raises(Conflict, match="Somebody else took the lock") as caught:
        ours.confirm()
    assert caught.value.code == "LockLost"
    assert caught.value.seen == ELSEWHERE.identity
    thief.confirm()


def test_a_lease_that_is_deleted_before_the_write_is_lost(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = lock_of(cluster, Holder.of_this_process("r1"))
    ours.acquire()
    before_the_next_write(lambda: cluster.delete(LEASE), monkeypatch)
    with pytest.raises(Conflict) as caught:
        ours.confirm()
    assert (caught.value.code, caught.value.seen) == ("LockLost", "no holder")
    assert cluster.find(LEASE) is None


def test_a_renewal_before_the_write_is_renewed_once_more(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = lock_of(cluster, Holder.of_this_process("r1"))
    ours.acquire()
    renewals: list[str] = []

    def renew() -> None:
        ours.confirm()
        renewals.append(cluster.get(LEASE)["metadata"]["resourceVersion"])

    before_the_next_write(renew, monkeypatch)
    ours.confirm()
    assert cluster.get(LEASE)["metadata"]["resourceVersion"] not in renewals


def test_a_renewal_of_what_nobody_else_wrote_is_one_request(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = lock_of(cluster, Holder.of_this_process("r1"))
    ours.acquire()
    acquired = cluster.get(LEASE)["spec"]
    sent: list[str] = []
    send = Cluster._send

    def counted(cluster: Cluster, method: str, *args: Any) -> Any:
        sent.append(method)
        return send(cluster, method, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Cluster, "_send", counted)
        ours.confirm()
        ours.confirm()
    assert sent == ["PUT", "PUT"]
    renewed = cluster.get(LEASE)["spec"]
    assert renewed["acquireTime"] == acquired["acquireTime"]
    assert renewed["renewTime"] > acquired["renewTime"]


def test_a_lease_that_somebody_else_annotated_is_renewed_all_the_same(cluster: Cluster) -> None:
    ours = lock_of(cluster, Holder.of_this_process("r1"))
    ours.acquire()
    cluster.patch(LEASE, {"metadata": {"labels": {"seen": "yes"}}})
    before = cluster.get(LEASE)["spec"]["renewTime"]
    ours.confirm()
    assert cluster.get(LEASE)["spec"]["renewTime"] > before


def test_a_lock_that_was_broken_stops_its_holder_before_the_next_write(cluster: Cluster) -> None:
    ours = lock_of(cluster, Holder.of_this_process("r1"))
    ours.acquire()
    cluster.delete(LEASE)
    with pytest.raises(Conflict) as caught:
        ours.confirm()
    assert caught.value.code == "LockLost"
    lock_of(cluster, ELSEWHERE).acquire()
    with pytest.raises(Conflict, match="elsewhere"):
        ours.confirm()


def test_of_many_who_ask_at_once_one_gets_the_lock(cluster: Cluster) -> None:
    holders = [Holder(f"r{number}", f"machine-{number}", "1.1", f"host-{number}") for number in range(4)]
    outcomes: list[str] = []
    together = threading.Barrier(len(holders))

    def ask(holder: Holder) -> None:
        lock = Lock(cluster, "locks", "credential", holder, 15)
        together.wait()
        given_up = threading.Event()

        def pause(seconds: float) -> None:
            given_up.wait(0.05)
            if len(outcomes) > 2:
                raise Conflict("given up", name="test")
            outcomes.append("waits")

        try:
            lock.acquire(pause)
            outcomes.append("holds")
        except Conflict:
            pass

    threads = [threading.Thread(target=ask, args=(holder,)) for holder in holders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("holds") == 1


def test_a_held_lock_is_renewed_meanwhile_and_given_back_at_the_end(cluster: Cluster) -> None:
    with locked(cluster, "locks", "credential", Holder.of_this_process("r1"), duration_seconds=1):
        first = cluster.get(LEASE)["metadata"]["resourceVersion"]
        for event in cluster.watch(
            "/apis/coordination.k8s.io/v1/namespaces/locks/leases",
            {"fieldSelector": "metadata.name=credential"},
            first,
            5,
        ):
            assert event["object"]["spec"]["holderIdentity"]
            break
        else:
            pytest.fail("the lease was not renewed")
    assert not cluster.get(LEASE)["spec"].get("holderIdentity")


def test_a_lock_in_a_namespace_that_does_not_exist_is_refused_at_once(cluster: Cluster) -> None:
    with pytest.raises(NotFound, match="nosuchnamespace"):
        Lock(cluster, "nosuchnamespace", "credential", ELSEWHERE).acquire()
