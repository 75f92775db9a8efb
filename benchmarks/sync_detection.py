"""How soon a wait ends after its evidence: `python -m benchmarks.sync_detection`.

Runs against the small API server: a wait for mounts and a wait for the synced Secret are started, the evidence is
written while they watch, and the time from sending it to the return of the wait is taken: an upper bound.
"""

import threading
import time
from collections.abc import Callable
from contextlib import closing

from benchmarks.common import Result, Row, quantile, run_alone
from infra.kubernetes.client import connect
from infra.kubernetes.deliveries.csi import CsiSecretsStore
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret, seal
from infra.kubernetes.manifests import apply
from infra.settings import Settings
from testing.cluster_world import DEFINITIONS, World
from testing.clusters import small_cluster

ROUNDS, QUICK_ROUNDS = 200, 20
GOAL_MILLISECONDS = 100.0


def measure_once(wait: Callable[[Callable[[object], None]], None], write: Callable[[], None]) -> float:
    """Return the seconds from the evidence to the end of the wait, for one round."""
    watching, written = threading.Event(), [0.0]

    def deliver() -> None:
        watching.wait(10)
        threading.Event().wait(0.02)  # into the watch, past the list that was just reported
        written[0] = time.monotonic()
        write()

    writer = threading.Thread(target=deliver)
    writer.start()
    wait(lambda _: watching.set())
    ended = time.monotonic()
    writer.join()
    return ended - written[0]


def measure(quick: bool) -> Result:
    """Measure both waits alternately."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with small_cluster() as server, closing(connect(server.kubeconfig, Settings())) as cluster:
        apply(cluster, DEFINITIONS)
        world = World(cluster, "dexter")
        uid = world.pod("db-1")
        world.mount("db-1", uid, {"username": "v0"})
        world.secret({"USERNAME": "v0"})
        delivery, secret = world.delivery(), SyncedSecret(cluster, "dexter", "userpass")
        assert isinstance(delivery, CsiSecretsStore)
        mounts, secrets = [], []
        for number in range(1, rounds + 1):
            now = {"username": f"v{number}"}
            keys = {"USERNAME": f"v{number}"}
            mounts.append(
                measure_once(
                    lambda tell, now=now: delivery.wait_for_mounts({uid: "db-1"}, now, 10, tell),
                    lambda now=now: world.mount("db-1", uid, now),
                )
            )
            secrets.append(
                measure_once(
                    lambda tell, keys=keys: secret.wait_for(seal(keys), 10, tell),
                    lambda keys=keys: world.secret(keys),
                )
            )
    rows = [_row("mounts reported by the driver", mounts), _row("data of the synced Secret", secrets)]
    high = "; ".join(f"{row.what}: {quantile(row.values, 0.99):.1f} ms" for row in rows)
    return Result("From the evidence of a sync to the end of the wait", rows, [f"99 %: {high}."])


def _row(what: str, seconds: list[float]) -> Row:
    values = [1000 * took for took in seconds]
    reached = quantile(values, 0.95) <= GOAL_MILLISECONDS
    return Row(what, values, "ms", f"95 % within {GOAL_MILLISECONDS:g} ms", reached)


if __name__ == "__main__":
    run_alone(measure, __doc__ or "")
