"""The fleet: whatever is due rotates, so many at once, and one page shows all of it.

    python -m flows.fleet                                             # shows what is due, and starts nothing
    python -m flows.fleet --no-dry-run --rotate-in this-process       # a small fleet, without workers
    python -m flows.fleet --no-dry-run --requested orders-db billing  # after a leak

It keeps no state of its own: the vaults say how old each password is and what is unfinished, Prefect's runs say what
was started and asked for. So a run that crashes or is cancelled loses nothing: the next one goes on.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Protocol
from uuid import UUID

from prefect import flow, tags
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.cli import run_from_shell
from flows.rotate import rotate
from infra.credentials import Credential
from infra.errors import Code, KeyturnError, NeedsOperator, NotFound, as_own_error
from infra.fleet.roster import Roster
from infra.fleet.schedule import Attempt, Due, check_request, guard
from infra.fleet.wave import Limits, Wave
from infra.memory import share_arenas
from infra.rotation.options import Guards, Sync
from tasks.fleet import runs
from tasks.fleet.scan import Scan, scan
from tasks.fleet.table import describe, report_fleet
from tasks.inventory import get_inventory
from tasks.reports.endings import end, ends_with_own_errors
from tasks.reports.logs import best_effort, run_logger

POLL_SECONDS = 5.0
"""Between two looks at the runs that were started."""


class RotateIn(StrEnum):
    """Where rotations run."""

    DEPLOYMENT = "deployment"
    THIS_PROCESS = "this-process"


class Starter(Protocol):
    """Starts rotations, and says how they ended."""

    def start(self, due: Due, credential: Credential) -> None:
        """Start a rotation."""

    def collect(self, seconds: float) -> Mapping[str, Attempt]:
        """Wait until a rotation has ended, but not longer than this, and return those that have, by credential."""


class ByDeployment:
    """Rotations as runs of the deployment `rotate`, or of `rotate-CLUSTER` where a cluster has its own worker.

    Args:
        sync: how they bring new versions to the consumers.
    """

    def __init__(self, sync: Sync) -> None:
        self.sync, self._names = sync, dict[UUID, str]()
        self._deployments = runs.find_deployments()

    def start(self, due: Due, credential: Credential) -> None:
        """Create the run.

        Raises:
            NotFound: there is no such deployment.
        """
        deployment = runs.choose_deployment(credential, self._deployments)
        if deployment.partition("/")[2] not in self._deployments:
            fix = "Create it with `prefect deploy --all`, or let the fleet rotate in this process"
            raise NotFound("The deployment that rotates does not exist", name=deployment, fix=fix)
        self._names[runs.start_rotation(due, deployment, self.sync, guard(due, credential))] = due.credential

    def collect(self, seconds: float) -> Mapping[str, Attempt]:
        """Look at the runs after a while. A look that Prefect does not answer is made again later: they go on."""
        threading.Event().wait(min(seconds, POLL_SECONDS))
        attempts = dict[UUID, Attempt]()
        with best_effort("look at the rotations that were started", is_patient=True):
            attempts = runs.look_at_runs(self._names, datetime.now(UTC))
        ended = {run_id: attempt for run_id, attempt in attempts.items() if attempt.ended_at}
        return {self._names.pop(run_id): attempt for run_id, attempt in ended.items()}


class InThisProcess:
    """Rotations as runs of the flow in threads of this process.

    Args:
        sync: how they bring new versions to the consumers.
        pool: their threads.
    """

    def __init__(self, sync: Sync, pool: ThreadPoolExecutor) -> None:
        self.sync, self._pool = sync, pool
        self._futures = dict[Future[Attempt], str]()

    def start(self, due: Due, credential: Credential) -> None:
        """Begin a run of the flow."""
        future = self._pool.submit(copy_context().run, self._rotate, due, guard(due, credential))
        self._futures[future] = due.credential

    def collect(self, seconds: float) -> Mapping[str, Attempt]:
        """Wait for the first that ends."""
        done, _ = wait(self._futures, seconds, FIRST_COMPLETED)
        return {self._futures.pop(future): future.result() for future in done}

    def _rotate(self, due: Due, guards: Guards) -> Attempt:
        with tags(runs.FLEET, runs.OURS):
            state: State[Any] = rotate(due.credential, dry_run=False, sync=self.sync, guards=guards, return_state=True)
        return runs.read_ending(due.key, due.credential, state)


@flow(name="fleet", flow_run_name="fleet", persist_result=False)
@ends_with_own_errors
def fleet(
    dry_run: bool = True,
    requested: tuple[str, ...] = (),
    rotate_in: RotateIn = RotateIn.DEPLOYMENT,
    sync: Sync = Sync.WAIT,
    minutes: Annotated[int, Field(ge=1, le=1440)] = 14,
    limits: Limits = Limits(),  # noqa: B008
) -> Any:
    """Rotate what is due: by age, before expiry, on request; resume what is unfinished, and end graces that are over.

    Run it every 15 minutes. Whatever does not start now starts in a later run.

    Args:
        dry_run: Show what is due and start nothing.
        requested: Credentials to rotate now, whatever their age and window: after a leak, for example.
        rotate_in: Where rotations run. deployment: as runs of the deployment rotate, on its workers. this-process:
            in threads of this process, for a small fleet.
        sync: How the consumers get the new versions. wait: by the driver's poll. express: by fresh mounts.
        minutes: How long this run starts rotations; the next run goes on.
        limits: How many rotations run at once.
    """
    share_arenas()
    inventory = get_inventory()
    credentials = dict(inventory.credentials)
    check_request([inventory.get(name) for name in requested])
    found = scan(credentials.values())
    found.errors.update(inventory.errors)
    roster = Roster(credentials, _recall(found, requested, dry_run), limits)
    wave = roster.plan(datetime.now(UTC))
    if not dry_run and wave.starts:
        wave = _carry_out(roster, found.errors, rotate_in, sync, timedelta(minutes=minutes))
    now = datetime.now(UTC)
    with best_effort("report the fleet"):
        report_fleet(roster, wave, found.errors, now)
    return _end(roster, wave, found, now, dry_run)


def _recall(found: Scan, requested: tuple[str, ...], dry_run: bool) -> dict[str, Any]:
    """Add to the vaults' facts what Prefect's runs tell."""
    now = datetime.now(UTC)
    asked_at = runs.keep_request() if requested and not dry_run else now
    requests = {**runs.recall_requests(now), **dict.fromkeys(requested, asked_at)}
    attempts = runs.recall_attempts(now)
    return {
        name: replace(facts, requested_at=requests.get(name), attempts=tuple(attempts.get(name, ())))
        for name, facts in found.facts.items()
    }


def _carry_out(
    roster: Roster, errors: dict[str, KeyturnError], rotate_in: RotateIn, sync: Sync, budget: timedelta
) -> Wave:
    """Start what is due as long as there is time, and follow it. Threads of this process are waited for in any case."""
    until = datetime.now(UTC) + budget
    here = rotate_in is RotateIn.THIS_PROCESS
    pool: AbstractContextManager[Any] = ThreadPoolExecutor(roster.limits.in_flight) if here else nullcontext()
    with pool as threads:
        starter: Starter = InThisProcess(sync, threads) if here else ByDeployment(sync)
        while True:
            now = datetime.now(UTC)
            wave = roster.plan(now)
            if now < until:
                _start(roster, wave, starter, errors, now)
            if not roster.under_way or (now >= until and not here):
                return roster.plan(datetime.now(UTC))
            for name, attempt in starter.collect(max((until - now).total_seconds(), POLL_SECONDS)).items():
                roster.end(name, attempt)
                run_logger().info("%s: %s", name, attempt.verdict.replace("-", " ") or "ended without a verdict")


def _start(roster: Roster, wave: Wave, starter: Starter, errors: dict[str, KeyturnError], now: datetime) -> None:
    """Start a wave. One that cannot be started keeps no other from starting; the next run of the fleet tries again."""
    for due in wave.starts:
        roster.begin(due, now)
        try:
            starter.start(due, roster.credentials[due.credential])
        except Exception as exception:
            errors[due.credential] = as_own_error(exception, due.credential)
            roster.end(due.credential, Attempt(due.key, now, "failed"))


def _end(roster: Roster, wave: Wave, found: Scan, now: datetime, dry_run: bool) -> Any:
    message = describe(roster, wave, found.errors, now)
    if not (roster.failed or found.errors or wave.stopped):
        return end("planned" if dry_run else "all-well", "fleet", message, kind="fleet", data=roster)
    names = ", ".join(sorted({*roster.failed, *found.errors})[:10])
    cause = next(iter(found.errors.values()), None)
    error = NeedsOperator(Code.FLEET_TROUBLE, name=names or "the wave", seen=message.rstrip("."), cause=cause)
    return end("needs-operator", "fleet", kind="fleet", error=error)


if __name__ == "__main__":
    run_from_shell(fleet)
