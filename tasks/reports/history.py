"""A credential's history: one table for each run that rotated, and all of them newest first.

The tables are artifacts with the key `NAME-history`, so Prefect keeps every version. Each says who started it, what
changed, who has the new login and how they got it, what was proven, and when the next one is due.
"""

import getpass
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterKey,
    ArtifactFilter,
    ArtifactFilterKey,
)
from prefect.client.schemas.objects import Artifact, ArtifactCollection, FlowRun
from prefect.client.schemas.sorting import ArtifactSort
from prefect.runtime import flow_run

from infra.credentials import Credential
from infra.fleet.schedule import Facts, find_due
from infra.rotation.execution import Ending
from infra.rotation.observation import ConsumerFacts, Observation, Synced
from infra.rotation.steps import Action
from tasks.reports.artifacts import report_table
from tasks.reports.logs import best_effort
from tasks.retries import task_with_retries

SUFFIX = "-history"
PAGE = 200


@task_with_retries(name="Show the history", run_name="{credential.name}: show its last rotations")
def report_history(credential: Credential, runs: int) -> list[dict[str, str]]:
    """Make the tables of a credential's history, and return it, newest first."""
    histories = read_history(credential.name, runs)
    if histories:
        report_table(f"{credential.name}-rotations", list_runs(histories), f"The rotations of `{credential.name}`.")
        report_table(f"{credential.name}-last-rotation", list_rows(histories[0]), "The last one.")
    return histories


@dataclass(frozen=True)
class Journey:
    """What a run of a rotation went through, from before its first step until its end.

    Args:
        credential: what was rotated.
        ending: how the run ended.
        before: what was observed first; None if nothing could be.
        after: what was observed last; None if it is unknown.
        was_begun: whether an earlier run had begun it.
        approval: what a person answered to the plan; empty if nobody was asked.
    """

    credential: Credential
    ending: Ending
    before: Observation | None = None
    after: Observation | None = None
    was_begun: bool = False
    approval: str = ""


def tell(journey: Journey, started_by: str, now: datetime) -> dict[str, str]:
    """Return what a history says of a run: what -> text.

    Args:
        journey: what it went through.
        started_by: who or what started it.
        now: when it ended.
    """
    credential, ending = journey.credential, journey.ending
    told = {
        "ended": f"{now:%Y-%m-%d %H:%M} UTC",
        "verdict": ending.verdict.replace("-", " "),
        "started by": started_by,
        "rotation": ending.rotation_id,
        "strategy": credential.strategy.value,
        "resumed": "yes: an earlier run began it" if journey.was_begun else "no",
        "approval": journey.approval or "nobody was asked",
    }
    if journey.before and journey.after:
        told |= _tell_change(journey.before, journey.after)
        consumers = [_tell_consumer(facts, ending.rotation_id) for facts in journey.after.consumers]
        told["consumers"] = "; ".join(consumers) or "none are listed"
        told["proofs"] = _tell_proofs(ending, journey.after)
        told["next due"] = _tell_next(credential, journey.after, now)
    if ending.error:
        told["error"] = f"{ending.error.what}: {ending.error.name}"
    return told


def _tell_change(before: Observation, after: Observation) -> dict[str, str]:
    """Say what was replaced; an earlier run of the rotation may have replaced some of it already."""
    candidate, password = before.candidate, before.secrets[-1]
    base = dict(candidate.base) if candidate and candidate.phase.is_live else before.newest_versions
    changed = {name: new for name, new in after.newest_versions.items() if base.get(name, new) != new}
    versions = [f"{name} {base[name][:8]} → {new[:8]}" for name, new in changed.items()]
    replaced = next((known for known in password.versions if known.version == base.get(password.name)), password.newest)
    since = candidate.created_at if candidate and candidate.phase.is_live else datetime.now(UTC)
    told = {"versions": ", ".join(versions) or "as before"}
    if base.get(password.name) != after.newest_versions[password.name]:
        told["retired password"] = f"{_days(since - replaced.created_at)} old"
    if before.username and after.username:
        told["username"] = (
            f"{before.username} → {after.username}" if before.username != after.username else after.username
        )
    return told


def _tell_consumer(facts: ConsumerFacts, rotation_id: str) -> str:
    how = "restarted" if facts.restarted_in == rotation_id else "not restarted"
    if facts.consumer.runs_to_an_end:
        how = "gets it with its next run"
    elif facts.consumer.follows_its_files:
        how = "takes it from its files"
    held = "no Secret" if facts.synced is Synced.NONE else f"Secret has {facts.synced}"
    return f"{facts.workload}: {how}, {len(facts.pods)} pods, {held}"


def _tell_proofs(ending: Ending, after: Observation) -> str:
    verified = "every consumer and a login were verified" if _did(ending, Action.VERIFY) else "not verified by this run"
    return f"{verified}; current login {after.logins.current}, previous login {after.logins.previous}"


def _tell_next(credential: Credential, after: Observation, now: datetime) -> str:
    due = find_due(credential, Facts(after.secrets[-1].value_created_at), now)
    if due is None:
        return "not by its age"
    return f"{due.starts_at:%Y-%m-%d %H:%M} UTC, for {due.why}"


def _did(ending: Ending, action: Action) -> bool:
    return any(step.action is action for step in ending.executed)


def _days(length: timedelta) -> str:
    return f"{length.days} days" if length.days else f"{length.total_seconds() / 3600:.1f} hours"


def find_starter() -> str:
    """Say who or what started the current run, as far as Prefect knows."""
    if not flow_run.id:
        return _shell()
    with best_effort("find who started this run"), get_client(sync_client=True) as client:
        return describe_starter(client.read_flow_run(UUID(flow_run.id)))
    return "unknown"


def describe_starter(run: FlowRun) -> str:
    """Say who or what started a run.

    Args:
        run: the run, with its tags, its deployment and its creator.
    """
    if "fleet" in run.tags:
        return "the fleet"
    if run.auto_scheduled:
        return "its schedule"
    if run.parent_task_run_id:
        return "another flow"
    if run.deployment_id is None:
        return _shell()
    creator = run.created_by
    if creator and creator.display_value:
        return f"{(creator.type or 'somebody').lower().replace('_', ' ')} {creator.display_value}"
    return "a person, or a call of Prefect's API"


def _shell() -> str:
    return f"{getpass.getuser()} at {socket.gethostname()}, from a shell"


def read_history(name: str, runs: int) -> list[dict[str, str]]:
    """Return what the last rotations of a credential were, newest first.

    Args:
        name: the credential.
        runs: how many at most.
    """
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[f"{name}{SUFFIX}"]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=runs)
    return [_told(artifact) for artifact in found]


def read_latest() -> dict[str, dict[str, str]]:
    """Return the last rotation of every credential that has one, by name."""
    wanted, latest = (
        ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(like_=SUFFIX)),
        dict[str, dict[str, str]](),
    )
    with get_client(sync_client=True) as client:
        while True:
            page = client.read_latest_artifacts(artifact_filter=wanted, limit=PAGE, offset=len(latest))
            latest |= {str(found.key).removesuffix(SUFFIX): _told(found) for found in page}
            if len(page) < PAGE:
                return latest


def list_runs(histories: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return one short row for each rotation."""
    columns = ("ended", "verdict", "started by", "rotation", "username")
    return [{column: told.get(column, "") for column in columns} for told in histories]


def list_rows(told: Mapping[str, str]) -> list[dict[str, str]]:
    """Return one row for each thing that is told."""
    return [{"what": what, "is": text} for what, text in told.items()]


def _told(artifact: Artifact | ArtifactCollection) -> dict[str, str]:
    rows: Any = json.loads(artifact.data) if isinstance(artifact.data, str) else artifact.data
    told = {str(row.get("what")): str(row.get("is")) for row in rows or ()}
    return told | ({"run": f"{artifact.flow_run_id}"} if artifact.flow_run_id else {})
