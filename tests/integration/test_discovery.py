"""Who reads a vault's secrets in a cluster: by templates and pods, whatever made them."""

from collections.abc import Mapping
from typing import Any

from infra.kubernetes.client import Cluster
from infra.kubernetes.discovery import Source, find_readers
from infra.kubernetes.manifests import apply
from infra.kubernetes.places import find_selected, list_places
from infra.rotation.sessions import PodPlace
from testing.cluster_world import CLASS, GROUP, World, definition
from testing.manifest_values import VALUES

API = f"apis/{GROUP}/v1"
BY_CLASS, BY_SECRET = Source("SecretProviderClass", CLASS), Source("Secret", "userpass")
MOUNT = {
    "name": "store",
    "csi": {
        "driver": "secrets-store.csi.k8s.io",
        "readOnly": True,
        "volumeAttributes": {"secretProviderClass": CLASS},
    },
}
FROM_KEY = {"env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "userpass", "key": "PASSWORD"}}}]}
FROM_ALL = {"envFrom": [{"secretRef": {"name": "userpass"}}]}


def pod_spec(*volumes: Mapping[str, Any], **container: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "image": "busybox", **container}], "volumes": list(volumes)}


def workload(kind: str, name: str, spec: Mapping[str, Any], namespace: str, **fields: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **fields},
    }


def job(name: str, spec: Mapping[str, Any], namespace: str, **fields: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", **spec}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template, **fields}}


def pod(name: str, spec: Mapping[str, Any], namespace: str, owner: Mapping[str, Any] | None = None) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "ownerReferences": [owner] if owner else []}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def controller(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the owner reference of what an object controls."""
    metadata = item["metadata"]
    reference = {"apiVersion": item["apiVersion"], "kind": item["kind"], "controller": True}
    return {**reference, "name": metadata["name"], "uid": metadata["uid"]}


def readers(cluster: Cluster, world: World, *secrets: str) -> dict[str, frozenset[Source]]:
    names = set(secrets or ("username", "password"))
    found = find_readers(cluster, VALUES["VAULT"].upper(), names, {world.namespace})
    own = [reader for reader in found if reader.namespace == world.namespace]
    return {f"{reader.kind} {reader.name}": reader.sources for reader in own}


def test_every_way_to_read_the_secrets_is_found(world: World) -> None:
    apply(world.cluster, world.manifest("dexter.yaml"))
    apply(world.cluster, [definition("Rollout", "rollouts")])
    before, place = readers(world.cluster, world), world.namespace
    projected = {"name": "all", "projected": {"sources": [{"secret": {"name": "userpass"}}]}}
    rollout = world.put("rollouts", {"apiVersion": f"{GROUP}/v1", "kind": "Rollout", "metadata": {"name": "api"}}, API)
    apply(
        world.cluster,
        [
            workload("Deployment", "scaled-to-0", pod_spec(MOUNT), place, replicas=0),
            workload("StatefulSet", "queue", pod_spec(**FROM_KEY), place, replicas=0, serviceName="queue"),
            workload("DaemonSet", "agent", pod_spec(projected), place),
            workload("Deployment", "another", pod_spec({"name": "x", "secret": {"secretName": "other"}}), place),
            pod("by-hand", pod_spec({"name": "x", "secret": {"secretName": "userpass"}}, **FROM_ALL), place),
            pod("api-x7f", pod_spec(MOUNT, **FROM_ALL), place, controller(rollout)),
        ],
    )
    found = readers(world.cluster, world)
    assert {key: sources for key, sources in found.items() if key not in before} == {
        "Deployment scaled-to-0": {BY_CLASS},
        "StatefulSet queue": {BY_SECRET},
        "DaemonSet agent": {BY_SECRET},
        "Pod by-hand": {BY_SECRET},
        "Rollout api": {BY_CLASS, BY_SECRET},
    }
    assert readers(world.cluster, world, "another-secret") == {}


def test_pods_count_for_the_workload_that_made_them_and_finished_ones_not_at_all(world: World) -> None:
    apply(world.cluster, world.manifest("dexter.yaml"))
    place = world.namespace
    apply(world.cluster, [workload("Deployment", "web", pod_spec(), place, replicas=0)])
    deployment = world.cluster.get(f"/apis/apps/v1/namespaces/{place}/deployments/web")
    older = workload("ReplicaSet", "web-1", pod_spec(MOUNT), place, replicas=0)
    older["metadata"]["ownerReferences"] = [controller(deployment)]
    apply(world.cluster, [older])
    replica_set = world.cluster.get(f"/apis/apps/v1/namespaces/{place}/replicasets/web-1")
    apply(
        world.cluster,
        [pod("web-1-a", pod_spec(MOUNT), place, controller(replica_set)), pod("done", pod_spec(MOUNT), place)],
    )
    world.cluster.patch(f"/api/v1/namespaces/{place}/pods/done/status", {"status": {"phase": "Succeeded"}})
    found = readers(world.cluster, world)
    assert found["Deployment web"] == {BY_CLASS}
    assert not {"Pod done", "ReplicaSet web-1", "Pod web-1-a"} & set(found)


def test_jobs_are_found_between_two_runs_and_count_for_their_cron_job(world: World) -> None:
    apply(world.cluster, world.manifest("dexter.yaml"))
    place, path = world.namespace, f"/apis/batch/v1/namespaces/{world.namespace}/jobs"
    template = {"spec": {"template": job("x", pod_spec(**FROM_ALL), place)["spec"]["template"]}}
    nightly = {"schedule": "0 4 * * *", "suspend": True, "jobTemplate": template}
    metadata = {"name": "nightly", "namespace": place}
    apply(world.cluster, [{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": nightly}])
    owner = controller(world.cluster.get(f"/apis/batch/v1/namespaces/{place}/cronjobs/nightly"))
    run = job("nightly-1", pod_spec(MOUNT), place)
    run["metadata"]["ownerReferences"] = [owner]
    later, done = (job(name, pod_spec(MOUNT), place, suspend=name == "later") for name in ("later", "done"))
    apply(world.cluster, [run, later, done])
    at = "2026-01-01T00:00:00Z"
    times = {"lastTransitionTime": at, "lastProbeTime": at}
    conditions = [{"type": kind, "status": "True", **times} for kind in ("SuccessCriteriaMet", "Complete")]
    ended = {"conditions": conditions, "startTime": at, "completionTime": at}
    world.cluster.patch(f"{path}/done/status", {"status": ended})
    made = pod("nightly-1-x7k2p", pod_spec(MOUNT), place, controller(world.cluster.get(f"{path}/nightly-1")))
    apply(world.cluster, [made])
    found = readers(world.cluster, world)
    assert found["CronJob nightly"] == {BY_SECRET, BY_CLASS}
    assert found["Job later"] == {BY_CLASS}
    assert not {"Job done", "Job nightly-1", "Pod nightly-1-x7k2p"} & set(found)


def test_a_pods_addresses_are_its_workloads_until_it_is_ending_or_finished(world: World) -> None:
    place, node = world.namespace, {"hostIP": "10.0.0.4", "hostIPs": [{"ip": "10.0.0.4"}, {"ip": "fd00::4"}]}
    apply(world.cluster, [workload("Deployment", "web", pod_spec(), place, replicas=0)])
    owner = controller(world.cluster.get(f"/apis/apps/v1/namespaces/{place}/deployments/web"))
    ending = pod("ending", pod_spec(), place, owner)
    ending["metadata"]["finalizers"] = ["keyturn.example/kept"]
    names = {"web-a": "10.244.0.7", "done": "10.244.0.8", "ending": "10.244.0.9"}
    made = [
        pod("web-a", pod_spec(), place, owner),
        pod("done", pod_spec(), place),
        ending,
        pod("new", pod_spec(), place),
    ]
    made[0]["metadata"]["labels"] = {"app": "web", "tier": "front"}
    apply(world.cluster, made)
    path = f"/api/v1/namespaces/{place}/pods"
    for name, address in names.items():
        phase = "Succeeded" if name == "done" else "Running"
        status = {
            "phase": phase,
            "podIP": address,
            "podIPs": [{"ip": address}, {"ip": f"fd00::{ord(name[0]):x}"}],
            **node,
        }
        world.cluster.patch(f"{path}/{name}/status", {"status": status})
    world.cluster.delete(f"{path}/ending")
    try:
        places = [found for found in list_places(world.cluster, {place}) if found.namespace == place]
    finally:
        world.cluster.patch(f"{path}/ending", {"metadata": {"finalizers": None}})
    nodes, labels = frozenset({"10.0.0.4", "fd00::4"}), frozenset({("app", "web"), ("tier", "front")})
    assert sorted(places, key=lambda found: found.workload) == [
        PodPlace("", frozenset({"10.244.0.9", "fd00::65"}), nodes, place),
        PodPlace(f"deployment {place}/web", frozenset({"10.244.0.7", "fd00::77"}), nodes, place, labels),
    ]
    for name, selector in {"pooler": {"app": "web"}, "other": {"app": "web", "tier": "back"}, "none": {}}.items():
        spec = {"ports": [{"port": 5432}], **({"selector": selector} if selector else {})}
        metadata = {"name": name, "namespace": place}
        apply(world.cluster, [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}])
    assert find_selected(world.cluster, place, "pooler", places) == {"10.244.0.7", "fd00::77"}
    assert find_selected(world.cluster, place, "other", places) == frozenset()
    assert find_selected(world.cluster, place, "none", places) == frozenset()
