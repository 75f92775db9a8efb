"""How soon a wait goes on after its evidence: `python -m benchmarks.sync_detection [ROUNDS]`.

Runs against the small API server: a wait for mounts and a wait for the synced Secret are started, the evidence is
written while they watch, and the time from sending it to the return of the wait is taken: an upper bound.
"""

import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing

from infra.kubernetes.apply import apply
from infra.kubernetes.client import connect
from infra.kubernetes.secrets_store import wait_for_mounts, wait_for_synced_secret
from infra.settings import Settings
from tests.contract.clusters import small_cluster
from tests.integration.cluster_world import CLASS, DEFINITIONS, World


def measure(wait: Callable[[Callable[[object], None]], None], write: Callable[[], None]) -> float:
    """Return the seconds from the evidence to going on, for one round."""
    watching, written = threading.Event(), [0.0]

    def deliver() -> None:
        watching.wait(10)
        threading.Event().wait(0.02)  # into the watch, past the list that was just reported
        written[0] = time.monotonic()
        write()

    writer = threading.Thread(target=deliver)
    writer.start()
    wait(lambda _: watching.set())
    went_on = time.monotonic()
    writer.join()
    return went_on - written[0]


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with small_cluster() as server, closing(connect(server.kubeconfig, Settings())) as cluster:
        apply(cluster, DEFINITIONS)
        world = World(cluster, "dexter")
        uid = world.pod("db-1")
        world.mount("db-1", uid, {"username": "v0"})
        world.secret({"USERNAME": "v0"})
        mounts, secrets = [], []
        for number in range(1, rounds + 1):
            now = {"username": f"v{number}"}
            keys = {"USERNAME": f"v{number}"}
            mounts.append(
                measure(
                    lambda tell, now=now: wait_for_mounts(cluster, "dexter", CLASS, [uid], now, 10, tell),
                    lambda now=now: world.mount("db-1", uid, now),
                )
            )
            secrets.append(
                measure(
                    lambda tell, keys=keys: wait_for_synced_secret(cluster, "dexter", "userpass", keys, 10, tell),
                    lambda keys=keys: world.secret(keys),
                )
            )
    for name, found in (("mounts", mounts), ("synced Secret", secrets)):
        milliseconds = sorted(1000 * value for value in found)
        middle, high = statistics.median(milliseconds), milliseconds[int(len(milliseconds) * 0.95)]
        print(f"{name:14} median {middle:5.1f} ms   95 % {high:5.1f} ms   worst {milliseconds[-1]:5.1f} ms")


if __name__ == "__main__":
    main()
