"""Rotations in a row, strategies mixed, in one process: `python -m benchmarks.soak [--quick]`.

Nothing may pile up: roles and sessions in the database, leases, secrets and their enabled versions, temporary files,
open files, threads, memory. The product's own functions run without Prefect's engine, which has its own memory.
"""

import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from unittest.mock import patch

from benchmarks.common import Result, Row, run_alone, say, timed
from infra.credentials import Credential, Strategy
from infra.kubernetes.deliveries.provider_classes import PINNED_FOR, path_of
from infra.rotation.candidate import name_candidate
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from testing import bare
from testing.rotating import NAMESPACE, World, running_stack
from testing.rotating import rotate as run_rotation
from testing.walkthrough import DATABASE, DEXTER, SERVER, change

ROTATIONS, QUICK_ROTATIONS, PART = 500, 20, 50
POLL_SECONDS, LEASES = 1, f"/apis/coordination.k8s.io/v1/namespaces/{DEXTER.lock_namespace}/leases"
GROWTH = 1.02
"""The last rotations may take that many times the memory of those after the first ones."""
MIX: Sequence[tuple[Strategy, Sync]] = (
    (Strategy.RECREATE, Sync.EXPRESS),
    (Strategy.RECREATE, Sync.WAIT),
    (Strategy.IN_PLACE, Sync.EXPRESS),
    (Strategy.IN_PLACE, Sync.WAIT),
    (Strategy.IN_PLACE, Sync.EXPRESS),
    (Strategy.ALTERNATING, Sync.EXPRESS),
    (Strategy.ALTERNATING, Sync.WAIT),
    (Strategy.ALTERNATING, Sync.EXPRESS),
    (Strategy.ALTERNATING, Sync.EXPRESS),
    (Strategy.MANAGED, Sync.EXPRESS),
)
"""In turn, again and again; a recreated database is prepared for two logins once more."""
LAYOUTS = tuple(credential.secrets for credential in (DEXTER, SERVER))
SECRETS = tuple(name for layout in LAYOUTS for name in (*layout.names, name_candidate(layout.names)))


@dataclass(frozen=True)
class Left:
    """What there is between two rotations; it must not grow."""

    roles: int
    sessions: int
    leases: int
    secrets: int
    enabled_versions: int
    temporary_files: int
    open_files: int
    threads: int
    pinned_classes: int


@dataclass
class Soak:
    """What was seen, rotation by rotation."""

    seconds: list[float] = field(default_factory=list)
    rss_megabytes: list[float] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    left: list[Left] = field(default_factory=list)


def rss_megabytes() -> float:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def look(world: World, temporary: Path) -> Left:
    """Count everything that could pile up."""
    with world.session() as connection:
        roles = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname !~ '^pg_'").fetchone()
        others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        sessions = connection.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {others}").fetchone()  # noqa: S608
    versions = [[found.enabled for found in world.vault.list_versions(name)] for name in SECRETS]
    provider = world.cluster.get(path_of(NAMESPACE, DATABASE.delivery.secret_provider_class))
    return Left(
        roles=int(str(roles[0])) if roles else 0,
        sessions=int(str(sessions[0])) if sessions else 0,
        leases=len(world.cluster.get(LEASES)["items"]),
        secrets=sum(map(bool, versions)),
        enabled_versions=sum(map(sum, versions)),
        temporary_files=sum(1 for _ in temporary.iterdir()),
        open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=threading.active_count(),
        pinned_classes=int(PINNED_FOR in (provider["metadata"].get("annotations") or {})),
    )


@contextmanager
def own_temporary_folder() -> Iterator[Path]:
    """Let everything temporary of this process go to one folder."""
    with tempfile.TemporaryDirectory(prefix="keyturn-soak-") as folder, patch.object(tempfile, "tempdir", folder):
        yield Path(folder)


def credential_of(strategy: Strategy) -> Credential:
    """Return what is rotated: the server's own administrator, or the login of the database in the cluster."""
    return SERVER if strategy is Strategy.MANAGED else change(DEXTER, strategy=strategy)


def rotate(credential: Credential, sync: Sync) -> None:
    """Rotate, and stop at one that does not end well."""
    ended = run_rotation(credential, sync=sync)
    if ended.verdict is not Verdict.ROTATED:
        raise SystemExit(f"{credential.strategy}: {ended.message}")


def soak(world: World, rotations: int, temporary: Path) -> Soak:
    """Rotate again and again."""
    seen = Soak()
    for number, (strategy, sync) in zip(range(1, rotations + 1), cycle(MIX), strict=False):
        credential = credential_of(strategy)
        if strategy is Strategy.ALTERNATING:
            bare.make_owner_role(credential)
        seen.seconds.append(timed(lambda credential=credential, sync=sync: rotate(credential, sync)))
        seen.rss_megabytes.append(rss_megabytes())
        seen.made[f"{strategy.value} {sync.value}"] += 1
        if number % len(MIX) == 0:
            seen.left.append(look(world, temporary))
            say(f"{number} rotations, {seen.rss_megabytes[-1]:.0f} MB, {seen.left[-1]}")
    return seen


def measure(quick: bool) -> Result:
    """Soak, and compare the end with the beginning."""
    with running_stack(POLL_SECONDS) as world, own_temporary_folder() as temporary:
        seen = soak(world, QUICK_ROTATIONS if quick else ROTATIONS, temporary)
        world.assert_well()
    before = seen.left[0]
    part = min(PART, len(seen.seconds) // 2)
    first, last = seen.rss_megabytes[:part], seen.rss_megabytes[-part:]
    flat = Row("", last).median <= GROWTH * Row("", first).median
    grown = [name for name in Left.__dataclass_fields__ if getattr(seen.left[-1], name) > getattr(before, name)]
    return Result(
        f"{len(seen.seconds)} rotations in a row",
        [
            Row("one rotation, without Prefect's engine", seen.seconds),
            Row(f"memory in the first {part} rotations", first, "MB"),
            Row(f"memory in the last {part} rotations", last, "MB", f"at most {GROWTH:g} x the first", flat),
        ],
        [
            "Mixed: " + ", ".join(f"{count} x {what}" for what, count in seen.made.items()) + ".",
            f"After {len(MIX)}: {_words(before)}. After the last: {_words(seen.left[-1])}. "
            + (f"**Grown: {', '.join(grown)}.**" if grown else "Nothing is left behind."),
        ],
        {"memory": seen.rss_megabytes},
    )


def _words(left: Left) -> str:
    return ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in vars(left).items())


if __name__ == "__main__":
    run_alone(measure, __doc__ or "")
