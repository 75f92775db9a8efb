"""What a run of a flow has left for people to read: its artifacts, and its tables' rows."""

import json
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact, State


def artifacts(state: State[Any]) -> list[Artifact]:
    """Return every version of every artifact of the run that ended in a state, oldest first."""
    run = state.state_details.flow_run_id
    assert run is not None
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return sorted(found, key=lambda artifact: str(artifact.created))


def verdict(state: State[Any]) -> str:
    """Return the verdict that a run ended with, as its message says it: `rolled back`."""
    return (state.message or "").partition(": ")[2].partition(". ")[0]


def versions_of(key: str, found: list[Artifact]) -> list[Any]:
    """Return what each version of an artifact holds."""
    return [json.loads(made.data) if isinstance(made.data, str) else made.data for made in found if made.key == key]


def rows(key: str, state: State[Any]) -> list[dict[str, str]]:
    """Return the newest version of a table."""
    table: list[dict[str, str]] = versions_of(key, artifacts(state))[-1]
    return table
