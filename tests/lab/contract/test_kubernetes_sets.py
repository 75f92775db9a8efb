"""StatefulSets and DaemonSets: which pods their controllers make, in which order they replace them, what they report.

No node takes part: the tests say themselves which pods are ready.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes_world import STRATEGIC, Json, Space

from testing.waiting import eventually

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def template(image: str, **pod: Any) -> Json:
    containers = [{"name": "web", "image": image}]
    spec = {"containers": containers, "terminationGracePeriodSeconds": 0, **pod}
    return {"metadata": {"labels": {"app": "web"}}, "spec": spec}


def create(space: Space, kind: str, spec: Json, **pod: Any) -> Json:
    body = {"selector": {"matchLabels": {"app": "web"}}, "template": template("web:1", **pod), **spec}
    item = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": body}
    return space.api.create(space.apps(f"{kind.lower()}s"), item)


def change(space: Space, kind: str, spec: Json) -> None:
    assert space.api.patch(space.apps(f"{kind.lower()}s", "web"), {"spec": spec}, STRATEGIC).code == 200


def new_image(space: Space, kind: str) -> None:
    change(space, kind, {"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}})


def pods(space: Space) -> dict[str, Json]:
    items = space.api.get(space.path("pods"))["items"]
    return {item["metadata"]["name"]: item for item in items if not item["metadata"].get("deletionTimestamp")}


def images(space: Space) -> dict[str, str]:
    return {name: pod["spec"]["containers"][0]["image"] for name, pod in pods(space).items()}


def wait_for(space: Space, expected: dict[str, str]) -> dict[str, Json]:
    """Wait until the pods, name -> image, are these."""
    eventually(lambda: images(space) == expected)
    return pods(space)


def make_ready(space: Space, name: str) -> None:
    status = {"status": {"phase": "Running", "conditions": [READY]}}
    assert space.api.patch(space.path("pods", name) + "/status", status, STRATEGIC).code == 200


def reports(space: Space, kind: str, **expected: Any) -> Json:
    """Wait until the status says this, of the present spec; a count of 0 may be left out."""

    def found() -> Json | None:
        item = space.api.get(space.apps(f"{kind.lower()}s", "web"))
        status: Json = item["status"]
        is_new = status.get("observedGeneration") == item["metadata"]["generation"]
        return status if is_new and {name: status.get(name, 0) for name in expected} == expected else None

    return dict(eventually(found))


def run_stateful_set(space: Space, replicas: int, **spec: Any) -> Json:
    """A StatefulSet whose pods are all ready."""
    create(space, "StatefulSet", {"replicas": replicas, "serviceName": "web", **spec})
    for number in range(replicas):
        eventually(lambda name=f"web-{number}": name in pods(space))
        make_ready(space, f"web-{number}")
    return reports(space, "StatefulSet", readyReplicas=replicas, availableReplicas=replicas, updatedReplicas=replicas)


def test_a_stateful_set_makes_its_pods_one_after_the_other_with_names_that_stay(space: Space) -> None:
    made = create(space, "StatefulSet", {"replicas": 2, "serviceName": "web"})
    (pod,) = wait_for(space, {"web-0": "web:1"}).values()
    status = reports(space, "StatefulSet", replicas=1, readyReplicas=0, updatedReplicas=1)
    revision = status["updateRevision"]
    assert status["currentRevision"] == revision
    assert pod["metadata"]["labels"] == {
        "app": "web",
        "apps.kubernetes.io/pod-index": "0",
        "controller-revision-hash": revision,
        "statefulset.kubernetes.io/pod-name": "web-0",
    }
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("StatefulSet", made["metadata"]["uid"], True)
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-0", "web")
    (kept,) = space.api.get(space.apps("controllerrevisions"))["items"]
    assert (kept["metadata"]["name"], kept["revision"]) == (revision, 1)
    make_ready(space, "web-0")
    wait_for(space, {"web-0": "web:1", "web-1": "web:1"})
    make_ready(space, "web-1")
    reports(space, "StatefulSet", replicas=2, readyReplicas=2, availableReplicas=2, currentReplicas=2)


def test_a_rolling_update_replaces_the_highest_pod_first_and_waits_until_it_is_ready(space: Space) -> None:
    before = run_stateful_set(space, 2)
    new_image(space, "StatefulSet")
    wait_for(space, {"web-0": "web:1", "web-1": "web:2"})
    during = reports(space, "StatefulSet", updatedReplicas=1, currentReplicas=1, readyReplicas=1)
    assert during["currentRevision"] == before["updateRevision"] != during["updateRevision"]
    make_ready(space, "web-1")
    wait_for(space, {"web-0": "web:2", "web-1": "web:2"})
    assert reports(space, "StatefulSet", readyReplicas=1)["currentRevision"] == before["updateRevision"]
    make_ready(space, "web-0")
    after = reports(space, "StatefulSet", updatedReplicas=2, readyReplicas=2, availableReplicas=2, currentReplicas=2)
    assert after["currentRevision"] == after["updateRevision"] == during["updateRevision"]


def test_pods_below_the_partition_stay_and_come_back_as_they_were(space: Space) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    run_stateful_set(space, 2, updateStrategy=strategy)
    new_image(space, "StatefulSet")
    wait_for(space, {"web-0": "web:1", "web-1": "web:2"})
    make_ready(space, "web-1")
    status = reports(space, "StatefulSet", updatedReplicas=1, currentReplicas=1, readyReplicas=2)
    assert status["currentRevision"] != status["updateRevision"]
    uid = pods(space)["web-0"]["metadata"]["uid"]
    assert space.api("DELETE", space.path("pods", "web-0")).code == 200
    eventually(lambda: "web-0" in pods(space) and pods(space)["web-0"]["metadata"]["uid"] != uid)
    assert images(space)["web-0"] == "web:1"


def test_with_on_delete_nobody_but_a_person_replaces_a_pod(space: Space) -> None:
    run_stateful_set(space, 1, updateStrategy={"type": "OnDelete"})
    uid = pods(space)["web-0"]["metadata"]["uid"]
    new_image(space, "StatefulSet")
    reports(space, "StatefulSet", updatedReplicas=0, readyReplicas=1)
    assert pods(space)["web-0"]["metadata"]["uid"] == uid
    space.api("DELETE", space.path("pods", "web-0"))
    wait_for(space, {"web-0": "web:2"})


def test_a_claim_of_a_pod_outlives_it(space: Space) -> None:
    mounts = [{"name": "web", "image": "web:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]
    claims = {"replicas": 1, "serviceName": "web", "volumeClaimTemplates": [CLAIM]}
    create(space, "StatefulSet", claims, containers=mounts)
    eventually(lambda: "web-0" in pods(space))
    volumes = {volume["name"]: volume for volume in pods(space)["web-0"]["spec"]["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "data-web-0"
    make_ready(space, "web-0")
    change(space, "StatefulSet", {"replicas": 0})
    wait_for(space, {})
    reports(space, "StatefulSet", replicas=0, readyReplicas=0)
    (claim,) = space.api.get(space.path("persistentvolumeclaims"))["items"]
    assert (claim["metadata"]["name"], claim["metadata"]["labels"]) == ("data-web-0", {"app": "web"})
    assert not claim["metadata"].get("ownerReferences")


@contextmanager
def two_nodes(space: Space) -> Iterator[tuple[str, str]]:
    """Nodes that only this test's pods select."""
    names = f"{space.name}-a", f"{space.name}-b"
    for name in names:
        space.api.create("/api/v1/nodes", {"metadata": {"name": name, "labels": {"of": space.name}}})
    try:
        yield names
    finally:
        for name in names:
            space.api("DELETE", f"/api/v1/nodes/{name}")


def target(pod: Json) -> str:
    """The node that a pod is meant for."""
    node = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return str(node["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])


def test_a_daemon_set_has_one_pod_on_each_node_that_it_selects(space: Space) -> None:
    with two_nodes(space) as nodes:
        create(space, "DaemonSet", {}, nodeSelector={"of": space.name})
        eventually(lambda: len(pods(space)) == 2)
        reports(space, "DaemonSet", desiredNumberScheduled=2, currentNumberScheduled=2, numberReady=0)
        made = pods(space)
        assert {target(pod) for pod in made.values()} == set(nodes)
        (kept,) = space.api.get(space.apps("controllerrevisions"))["items"]
        short = kept["metadata"]["labels"]["controller-revision-hash"]
        assert kept["metadata"]["name"] == f"web-{short}"
        for name, pod in made.items():
            assert name.startswith("web-")
            assert pod["metadata"]["labels"]["controller-revision-hash"] == short
            assert pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet"
            make_ready(space, name)
        reports(space, "DaemonSet", numberReady=2, numberAvailable=2, updatedNumberScheduled=2, numberUnavailable=0)


def test_a_daemon_set_replaces_its_pods_node_by_node(space: Space) -> None:
    with two_nodes(space):
        create(space, "DaemonSet", {}, nodeSelector={"of": space.name})
        eventually(lambda: len(pods(space)) == 2)
        for name in pods(space):
            make_ready(space, name)
        reports(space, "DaemonSet", numberAvailable=2)
        before = set(pods(space))
        new_image(space, "DaemonSet")
        for updated in (1, 2):
            eventually(lambda updated=updated: sorted(images(space).values()).count("web:2") == updated)
            reports(space, "DaemonSet", updatedNumberScheduled=updated, numberReady=1)
            (name,) = [name for name, pod in pods(space).items() if not is_ready(pod)]
            make_ready(space, name)
        reports(space, "DaemonSet", updatedNumberScheduled=2, numberReady=2, numberAvailable=2)
        assert list(images(space).values()) == ["web:2", "web:2"]
        assert not before & set(pods(space))


def is_ready(pod: Json) -> bool:
    return any(found["type"] == "Ready" for found in pod["status"].get("conditions") or [])


def test_a_daemon_set_with_on_delete_keeps_its_pods(space: Space) -> None:
    with two_nodes(space):
        create(space, "DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, nodeSelector={"of": space.name})
        eventually(lambda: len(pods(space)) == 2)
        for name in pods(space):
            make_ready(space, name)
        before = {pod["metadata"]["uid"] for pod in pods(space).values()}
        new_image(space, "DaemonSet")
        reports(space, "DaemonSet", updatedNumberScheduled=0, numberReady=2)
        assert {pod["metadata"]["uid"] for pod in pods(space).values()} == before


def test_of_a_stateful_set_only_some_fields_may_change(space: Space) -> None:
    create(space, "StatefulSet", {"replicas": 0, "serviceName": "web"})
    answer = space.api.patch(space.apps("statefulsets", "web"), {"spec": {"serviceName": "other"}})
    assert (answer.code, answer.reason, answer.causes) == (422, "Invalid", [("FieldValueForbidden", "spec")])
    assert "updates to statefulset spec for fields other than 'replicas'" in answer.message
    change(space, "StatefulSet", {"minReadySeconds": 1})
