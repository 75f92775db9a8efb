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
    return sorted(found, key=lambda one: str(one.created))


def versions_of(key: str, found: list[Artifact]) -> list[Any]:
    """Return what each version of an artifact holds."""
    return [json.loads(one.data) if isinstance(one.data, str) else one.data for one in found if one.key == key]


def rows(key: str, state: State[Any]) -> list[dict[str, str]]:
    """Return the newest version of a table."""
    table: list[dict[str, str]] = versions_of(key, artifacts(state))[-1]
    return table
