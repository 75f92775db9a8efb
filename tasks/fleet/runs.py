"""Prefect's runs as the fleet's memory: what it started, how that ended, what people asked for. No other state is kept.

A fleet run that crashed or was cancelled loses nothing by that: the next one finds the same runs and the same vaults.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.runtime import flow_run

from infra.credentials import Credential
from infra.fleet.schedule import Attempt, Due
from infra.rotation.execution import Verdict
from infra.rotation.options import Guards, Sync
from tasks.reports.endings import VERDICT_LABEL
from tasks.reports.logs import best_effort
from tasks.retries import task_with_retries

FLEET, REQUEST, OURS = "fleet", "request", "keyturn"
"""Tags of the rotations that the fleet starts, of its own runs that somebody asked for credentials in, and of all runs.

The alarms look at the last one; deployments give it to their runs.
"""
REMEMBERED = timedelta(days=7)
LONGEST = timedelta(hours=4)
"""A rotation that seems to run for so long does not: its process was killed, and nobody has marked it as crashed."""
LONGEST_START = timedelta(minutes=30)
"""A rotation that a worker took and did not begin for so long: the worker died. It sends no heartbeats yet."""
PAGE = 200


@task_with_retries(name="Recall", run_name="recall the rotations of the last days")
def recall_attempts(now: datetime) -> Mapping[str, list[Attempt]]:
    """Return the rotations that the fleet started: credential -> oldest first."""
    found = defaultdict[str, list[Attempt]](list)
    for run in _read_runs("rotate", FLEET, now):
        found[str(run.parameters.get("credential", ""))].append(_read_attempt(run, now))
    return found


@task_with_retries(name="Recall requests", run_name="recall what people asked for")
def recall_requests(now: datetime) -> Mapping[str, datetime]:
    """Return credential -> when a rotation of it was asked for last."""
    return {
        str(name): run.expected_start_time or run.created or now
        for run in _read_runs("fleet", REQUEST, now)
        for name in run.parameters.get("requested", ())
    }


def keep_request() -> datetime:
    """Mark the current run as one that asks for credentials, so that later runs recall it, and return when it began."""
    if flow_run.id:
        with best_effort("keep the request"), get_client(sync_client=True) as client:
            run = client.read_flow_run(UUID(flow_run.id))
            client.update_flow_run(run.id, tags=[*run.tags, REQUEST])
            return run.expected_start_time or datetime.now(UTC)
    return datetime.now(UTC)


@task_with_retries(name="Find deployments", run_name="find the deployments of rotate")
def find_deployments() -> frozenset[str]:
    """Return the names of the deployments of `rotate`."""
    with get_client(sync_client=True) as client:
        found = client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=["rotate"])), limit=PAGE)
    return frozenset(deployment.name for deployment in found)


def choose_deployment(credential: Credential, deployments: Collection[str]) -> str:
    """Return the deployment that rotates a credential: that of its cluster, `rotate-NAME`, if there is one."""
    own = f"rotate-{credential.cluster.name}"
    return f"rotate/{own if own in deployments else 'rotate'}"


@task_with_retries(name="Start", run_name="{due.credential}: start the rotation, for {due.why}")
def start_rotation(due: Due, deployment: str, sync: Sync, guards: Guards = Guards()) -> UUID:  # noqa: B008
    """Start a rotation as a run of its deployment, once for each need, and return the run's id.

    It is no child of this run: cancelling the fleet cancels no rotation.
    """
    held_back = {"guards": guards.model_dump(mode="json", exclude_defaults=True)} if guards != Guards() else {}
    started = run_deployment(
        deployment,
        parameters={"credential": due.credential, "dry_run": False, "sync": sync.value, **held_back},
        timeout=0,
        tags=[FLEET],
        idempotency_key=due.key,
        as_subflow=False,
    )
    return started.id  # type: ignore[union-attr]


def read_ending(key: str, credential: str, state: State[Any]) -> Attempt:
    """Return how a rotation in this process ended: its state's message begins with name and verdict."""
    words = (state.message or "").removeprefix(f"{credential}: ").partition(".")[0]
    verdict = words.replace(" ", "-")
    known = verdict in set(Verdict) | {"failed"}
    return Attempt(key, datetime.now(UTC), verdict if known else "failed")


def look_at_runs(ids: Collection[UUID], now: datetime) -> dict[UUID, Attempt]:
    """Return how runs that were started stand."""
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(ids)))
    with get_client(sync_client=True) as client:
        return {run.id: _read_attempt(run, now) for run in client.read_flow_runs(flow_run_filter=wanted, limit=PAGE)}


def _read_runs(flow: str, tag: str, now: datetime) -> Iterator[FlowRun]:
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[tag]),
        expected_start_time=FlowRunFilterExpectedStartTime(after_=now - REMEMBERED),
    )
    with get_client(sync_client=True) as client:
        yield from _read_pages(client, FlowFilter(name=FlowFilterName(any_=[flow])), wanted)


def _read_pages(client: SyncPrefectClient, flow: FlowFilter, wanted: FlowRunFilter) -> Iterator[FlowRun]:
    offset, sort = 0, FlowRunSort.EXPECTED_START_TIME_ASC
    while True:
        page = client.read_flow_runs(flow_filter=flow, flow_run_filter=wanted, sort=sort, limit=PAGE, offset=offset)
        yield from page
        offset += len(page)
        if len(page) < PAGE:
            return


def _read_attempt(run: FlowRun, now: datetime) -> Attempt:
    key, verdict = run.idempotency_key or str(run.id), str(run.labels.get(VERDICT_LABEL, ""))
    if run.state and run.state.is_final():
        return Attempt(key, run.end_time or run.state.timestamp, verdict)
    return Attempt(key, _find_death(run, now))


def _find_death(run: FlowRun, now: datetime) -> datetime | None:
    """Return when a run counts as dead that nobody has ended; None if it does not."""
    died_at = None
    if run.state and run.state.is_pending():
        died_at = run.state.timestamp + LONGEST_START
    elif run.start_time:
        died_at = run.start_time + LONGEST
    return died_at if died_at and died_at < now else None
