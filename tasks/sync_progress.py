"""How far a sync is, as people see it: a table that is rewritten on each change, and a percentage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from infra.kubernetes.client import Cluster
from infra.kubernetes.secrets_store import Mount, list_mounts
from infra.kubernetes.waiting import OnProgress, Progress
from tasks.orders import Order, logged
from tasks.reporting import Bar, report_table

KEY, BAR_KEY = "sync-progress", "sync-percent"


@dataclass(frozen=True)
class Wanted:
    """What is waited for.

    Args:
        pods: uid -> name of the consumer's pods.
        versions: secret -> the new version, by id.
        synced_secret: the Secret that comes after the mounts.
    """

    pods: Mapping[str, str]
    versions: Mapping[str, str]
    synced_secret: str

    def rows(self, mounts: Sequence[Mount], secret_is_new: bool, left_seconds: float) -> list[dict[str, str]]:
        """Return one row a pod and secret, and one for the synced Secret. Version ids, never values."""
        held = {mount.pod_uid: mount.versions for mount in mounts}
        rows = [
            _row(pod, name, held.get(uid, {}).get(name, ""), version, left_seconds)
            for uid, pod in sorted(self.pods.items(), key=lambda one: one[1])
            for name, version in sorted(self.versions.items())
        ]
        state = "the new values" if secret_is_new else "older values"
        return [*rows, _cells(f"Secret {self.synced_secret}", "both", state, secret_is_new, left_seconds)]


def _row(pod: str, name: str, held: str, wanted: str, left_seconds: float) -> dict[str, str]:
    return _cells(pod, name, held[:8] or "nothing", held == wanted, left_seconds)


def _cells(where: str, secret: str, has: str, is_new: bool, left_seconds: float) -> dict[str, str]:
    new, left = "yes" if is_new else "not yet", f"{left_seconds:.0f} s"
    return {"where": where, "secret": secret, "has": has, "new": new, "time left": left}


def percentage(rows: Sequence[Mapping[str, str]]) -> float:
    """Return how much of what is waited for is there."""
    return 100.0 * sum(row["new"] == "yes" for row in rows) / len(rows)


@dataclass
class SyncProgress:
    """Shows a wait for the sync in the current run.

    Args:
        order: the step that waits.
        cluster: where to look.
        wanted: what is waited for.
    """

    order: Order
    cluster: Cluster
    wanted: Wanted
    bar: Bar = field(init=False)

    def __post_init__(self) -> None:
        self.bar = Bar(BAR_KEY, f"How far the sync of `{self.order.subject}` is.")

    def show(self, left_seconds: float, secret_is_new: bool = False) -> None:
        """Look at the mounts and write the next version of the table."""
        consumer = self.order.consumer
        mounts = list_mounts(self.cluster, consumer.namespace, consumer.secret_provider_class)
        rows = self.wanted.rows(mounts, secret_is_new, left_seconds)
        report_table(KEY, rows, f"What each pod of `{self.order.subject}` has mounted, and what the Secret holds.")
        self.bar.move(percentage(rows))

    def told(self, subject: str) -> OnProgress:
        """Return what a wait tells its progress to: the log, which open pages follow, and the table."""
        log = logged(subject)

        def tell(progress: Progress) -> None:
            log(progress)
            self.show(progress.left_seconds)

        return tell
