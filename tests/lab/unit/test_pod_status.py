"""A pod's phase and conditions from what its containers do; small parts of the node."""

from datetime import UTC, datetime
from typing import Any

import pytest

from lab.cluster.node.environment import expand, field_of
from lab.cluster.node.images import InvalidImage, PullError, canonical, check_name, launcher_of
from lab.cluster.node.status import ContainerState, Facts, phase_of, status_of

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
LATER = datetime(2026, 5, 4, 3, 9, 9, tzinfo=UTC)


def state(what: str, *, ended_before: bool = False) -> ContainerState:
    made = ContainerState("main", "busybox:1")
    if ended_before:
        made.end(1, "Error", NOW)
        made.remember()
        made.wait("CrashLoopBackOff")
    if what == "runs":
        made.run("containerd://1", NOW)
        made.ready = True
    elif what.startswith("ended"):
        made.end(int(what[-1]), "Completed", NOW)
    return made


@pytest.mark.parametrize(
    ("states", "inits", "policy", "phase"),
    [
        ([state("waits")], [], "Always", "Pending"),
        ([state("runs")], [], "Always", "Running"),
        ([state("runs"), state("waits")], [], "Always", "Pending"),
        ([state("waits", ended_before=True)], [], "Always", "Running"),
        ([state("ended 0")], [], "Always", "Running"),
        ([state("ended 0")], [], "Never", "Succeeded"),
        ([state("ended 1")], [], "Never", "Failed"),
        ([state("ended 1")], [], "OnFailure", "Running"),
        ([state("ended 0")], [], "OnFailure", "Succeeded"),
        ([state("waits")], [state("runs")], "Always", "Pending"),
        ([state("waits")], [state("ended 1")], "Never", "Failed"),
        ([state("runs")], [state("ended 0")], "Always", "Running"),
    ],
)
def test_the_phase_follows_the_containers(states: Any, inits: Any, policy: str, phase: str) -> None:
    assert phase_of(states, inits, policy) == phase


def test_conditions_keep_the_time_of_their_last_change() -> None:
    pod: dict[str, Any] = {"spec": {}, "status": {"conditions": []}}
    facts = Facts("127.77.1.1", "127.77.0.10", NOW)
    first = status_of(pod, [state("waits")], [], facts, NOW)
    pod["status"] = first
    second = status_of(pod, [state("runs")], [], facts, LATER)
    times = {entry["type"]: entry["lastTransitionTime"] for entry in second["conditions"]}
    assert times["Ready"] == times["ContainersReady"] == "2026-05-04T03:09:09Z"
    assert times["Initialized"] == times["PodScheduled"] == "2026-05-04T03:02:01Z"
    unready = next(entry for entry in first["conditions"] if entry["type"] == "Ready")
    assert unready["message"] == "containers with unready status: [main]"


def test_conditions_of_others_stay() -> None:
    theirs = {"type": "example.com/Gate", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    pod: dict[str, Any] = {"spec": {}, "status": {"conditions": [theirs]}}
    made = status_of(pod, [state("runs")], [], Facts("a", "b", NOW), NOW)
    assert theirs in made["conditions"]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)", "1"), ("x$(A)y", "x1y"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("$A", "$A"), ("$$$(A)", "$1")],
)
def test_references_are_expanded_as_in_kubernetes(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_labels_and_annotations_can_be_read_whole_or_one_by_one() -> None:
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"b": "2", "a": "1"}}, "spec": {}}
    assert field_of(pod, "metadata.labels") == 'a="1"\nb="2"'
    assert field_of(pod, "metadata.labels['b']") == "2"
    assert field_of(pod, "metadata.annotations['x']") == ""


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("postgres", "docker.io/library/postgres:latest"),
        ("postgres:14", "docker.io/library/postgres:14"),
        ("chester2004/get-storage", "docker.io/chester2004/get-storage:latest"),
        ("registry.example.com/x/y:1", "registry.example.com/x/y:1"),
        ("localhost:5000/y", "localhost:5000/y:latest"),
    ],
)
def test_image_names_are_completed_as_containerd_does(image: str, full: str) -> None:
    assert canonical(image) == full


@pytest.mark.parametrize(
    ("image", "launcher"),
    [
        ("postgres:14", "postgres"),
        ("docker.io/library/postgres:16", "postgres"),
        ("acr.io/a/get-storage:2", "get-storage"),
    ],
)
def test_the_name_chooses_the_launcher(image: str, launcher: str) -> None:
    assert launcher_of(image) == launcher


@pytest.mark.parametrize("image", ["someone/postgres:14", "nginx", "postgresql:14"])
def test_other_images_cannot_be_had(image: str) -> None:
    with pytest.raises(PullError, match="pull access denied"):
        launcher_of(image)


@pytest.mark.parametrize("image", ["Postgres", "a b", ""])
def test_what_is_no_name_is_refused(image: str) -> None:
    with pytest.raises(InvalidImage, match="invalid reference format"):
        check_name(image)
