"""Controllers: the lab's over its small API server, and the real ones over a real one, by the same tests.

No node takes part: the tests say themselves which pods are ready.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pod_world import PATIENCE_SECONDS, pod_world, real_cluster

from lab.cluster import client as api
from lab.cluster.client import Client, Object, Resource

KINDS = ["lab", pytest.param("real", marks=pytest.mark.realcluster)]
REVISION = "deployment.kubernetes.io/revision"
READY_TIME = "2026-01-01T00:00:00Z"


@dataclass
class Controlled:
    """A cluster whose controllers are under test."""

    client: Client
    kind: str
    namespace: str = "made"

    async def until(self, resource: Resource, holds: Callable[[list[Object]], Any]) -> list[Object]:
        """Wait by a watch until a collection is as it shall be, and return its items."""
        items: dict[str, Object] = {}
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                listing = await self.client.list(resource, self.namespace)
                items = {item["metadata"]["uid"]: item for item in listing["items"]}
                if holds(list(items.values())):
                    return list(items.values())
                version = listing["metadata"]["resourceVersion"]
                async for event in self.client.watch(resource, self.namespace, version):
                    if event["type"] == "BOOKMARK":
                        continue
                    uid = event["object"]["metadata"]["uid"]
                    items.pop(uid, None)
                    if event["type"] != "DELETED":
                        items[uid] = event["object"]
                    if holds(list(items.values())):
                        return list(items.values())
        except TimeoutError:
            seen = [(item["metadata"]["name"], item.get("status")) for item in items.values()]
            raise AssertionError(f"{resource.plural} are not as expected: {seen}") from None
        raise AssertionError("the watch ended")

    async def pods(self, count: int) -> list[Object]:
        """Wait for a number of pods that are not on their way out."""
        found = await self.until(api.PODS, lambda pods: len(alive(pods)) == count)
        return alive(found)

    async def make_ready(self, pods: list[Object], *, ready: bool = True, address: str = "") -> None:
        """Be the kubelet of some pods."""
        for pod in pods:
            status = "True" if ready else "False"
            condition = {"type": "Ready", "status": status, "lastTransitionTime": READY_TIME}
            patch: Object = {"status": {"phase": "Running", "conditions": [condition]}}
            if address:
                patch["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
            name = pod["metadata"]["name"]
            await self.client.patch(api.PODS, self.namespace, name, patch, kind=api.STRATEGIC, subresource="status")

    async def deployment(self, holds: Callable[[Object], Any]) -> Object:
        """Wait until the deployment is as it shall be."""
        (found,) = await self.until(api.DEPLOYMENTS, lambda items: items and holds(items[0]))
        return found

    async def create(self, replicas: int = 1, image: str = "web:1", **spec: Any) -> Object:
        """Create the deployment `web`."""
        container = {"name": "web", "image": image}
        pod = {"containers": [container], "terminationGracePeriodSeconds": 0} | spec.pop("pod", {})
        template = {"metadata": {"labels": {"app": "web"}}, "spec": pod}
        body = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template} | spec
        meta = {"name": "web", "namespace": self.namespace}
        return await self.client.create(
            api.DEPLOYMENTS, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": body}
        )

    async def patch(self, spec: Object) -> Object:
        """Change the deployment."""
        return await self.client.patch(api.DEPLOYMENTS, self.namespace, "web", {"spec": spec}, kind=api.STRATEGIC)

    async def event(self, reason: str, text: str = "") -> str:
        """Wait for an event and return its message."""

        def found(events: list[Object]) -> list[str]:
            return [e["message"] for e in events if e["reason"] == reason and text in e["message"]]

        return found(await self.until(api.EVENTS, found))[0]


def alive(pods: list[Object]) -> list[Object]:
    return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def condition(obj: Object, kind: str) -> Object:
    conditions = obj.get("status", {}).get("conditions") or []
    found: Object = next((entry for entry in conditions if entry["type"] == kind), {})
    return found


def images(pods: list[Object]) -> list[str]:
    return sorted(pod["spec"]["containers"][0]["image"] for pod in alive(pods))


@pytest.fixture(scope="module", params=KINDS)
async def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    folder = tmp_path_factory.mktemp("cluster")
    if request.param == "lab":
        async with pod_world(folder, folder, parts="controllers") as world:
            yield world.client
        return
    if real_cluster.why_not():
        pytest.skip(real_cluster.why_not())
    async with pod_world(folder, folder, parts="", real=True) as world:
        yield world.client


@pytest.fixture
async def controlled(cluster: Client, request: pytest.FixtureRequest) -> AsyncIterator[Controlled]:
    made = Controlled(cluster, request.node.callspec.params["cluster"], f"t{abs(hash(request.node.name))}")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}}
    await cluster.create(api.NAMESPACES, body)
    await made.until(api.SERVICE_ACCOUNTS, lambda items: "default" in [item["metadata"]["name"] for item in items])
    yield made
    await cluster.delete(api.NAMESPACES, "", made.namespace)


async def test_a_deployment_makes_a_replica_set_and_that_its_pods(controlled: Controlled) -> None:
    deployment = await controlled.create(replicas=2)
    pods = await controlled.pods(2)
    (entry,) = (await controlled.client.list(api.REPLICA_SETS, controlled.namespace))["items"]
    short = entry["metadata"]["labels"]["pod-template-hash"]
    assert entry["metadata"]["name"] == f"web-{short}"
    assert entry["metadata"]["annotations"][REVISION] == "1"
    assert entry["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": short}
    (owner,) = entry["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Deployment", deployment["metadata"]["uid"], True)
    for pod in pods:
        assert pod["metadata"]["name"].startswith(f"web-{short}-")
        assert pod["metadata"]["labels"] == {"app": "web", "pod-template-hash": short}
        assert pod["metadata"]["ownerReferences"][0]["uid"] == entry["metadata"]["uid"]
    text = await controlled.event("ScalingReplicaSet")
    assert text == f"Scaled up replica set web-{short} from 0 to 2"
    created = await controlled.event("SuccessfulCreate", pods[0]["metadata"]["name"])
    assert created == f"Created pod: {pods[0]['metadata']['name']}"


async def test_conditions_tell_progress_and_availability(controlled: Controlled) -> None:
    await controlled.create()
    waiting = await controlled.deployment(lambda d: condition(d, "Progressing").get("reason") == "ReplicaSetUpdated")
    assert condition(waiting, "Available")["reason"] == "MinimumReplicasUnavailable"
    assert condition(waiting, "Available")["message"] == "Deployment does not have minimum availability."
    (pod,) = await controlled.pods(1)
    name = pod["metadata"]["ownerReferences"][0]["name"]
    assert condition(waiting, "Progressing")["message"] == f'ReplicaSet "{name}" is progressing.'
    assert waiting["status"]["unavailableReplicas"] == 1
    await controlled.make_ready([pod])
    done = await controlled.deployment(lambda d: condition(d, "Progressing").get("reason") == "NewReplicaSetAvailable")
    assert condition(done, "Progressing")["message"] == f'ReplicaSet "{name}" has successfully progressed.'
    assert condition(done, "Available")["message"] == "Deployment has minimum availability."
    counts = {
        name: done["status"][name] for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    }
    assert set(counts.values()) == {1}
    assert done["status"]["observedGeneration"] == done["metadata"]["generation"]


async def test_scaling_to_zero_and_back_replaces_the_pod(controlled: Controlled) -> None:
    await controlled.create()
    (first,) = await controlled.pods(1)
    await controlled.make_ready([first])
    await controlled.patch({"replicas": 0})
    await controlled.pods(0)
    await controlled.deployment(lambda d: not d["status"].get("replicas"))
    await controlled.patch({"replicas": 1})
    (second,) = await controlled.pods(1)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    owners = {pod["metadata"]["ownerReferences"][0]["uid"] for pod in (first, second)}
    assert len(owners) == 1, "the template did not change, so the replica set stays"
    name = first["metadata"]["ownerReferences"][0]["name"]
    assert await controlled.event("ScalingReplicaSet", "down") == f"Scaled down replica set {name} from 1 to 0"


async def test_scaling_down_spares_the_ready_pod(controlled: Controlled) -> None:
    await controlled.create(replicas=2)
    pods = await controlled.pods(2)
    await controlled.make_ready(pods[1:])
    await controlled.deployment(lambda d: d["status"].get("readyReplicas") == 1)
    await controlled.patch({"replicas": 1})
    (kept,) = await controlled.pods(1)
    assert kept["metadata"]["name"] == pods[1]["metadata"]["name"]


async def test_a_pod_that_is_deleted_comes_back_under_another_name(controlled: Controlled) -> None:
    await controlled.create()
    (first,) = await controlled.pods(1)
    await controlled.client.delete(api.PODS, controlled.namespace, first["metadata"]["name"])
    found = await controlled.until(
        api.PODS, lambda pods: [p["metadata"]["uid"] for p in alive(pods)] not in ([], [first["metadata"]["uid"]])
    )
    (second,) = alive(found)
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert second["metadata"]["ownerReferences"] == first["metadata"]["ownerReferences"]


async def test_a_rolling_update_never_has_too_few_or_too_many(controlled: Controlled) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await controlled.create(replicas=2, strategy=rolling)
    await controlled.make_ready(await controlled.pods(2))
    await controlled.deployment(lambda d: d["status"].get("availableReplicas") == 2)
    await controlled.patch({"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}})
    for old in (2, 1):
        wanted = sorted(["web:1"] * old + ["web:2"] * (3 - old))
        pods = await controlled.until(api.PODS, lambda pods, wanted=wanted: images(pods) == wanted)
        fresh = [p for p in alive(pods) if p["spec"]["containers"][0]["image"] == "web:2"]
        await controlled.make_ready(fresh)
    await controlled.until(api.PODS, lambda pods: images(pods) == ["web:2", "web:2"])
    done = await controlled.deployment(lambda d: d["metadata"]["annotations"][REVISION] == "2")
    assert done["status"]["observedGeneration"] >= 2
    sets = (await controlled.client.list(api.REPLICA_SETS, controlled.namespace))["items"]
    assert sorted(entry["spec"]["replicas"] for entry in sets) == [0, 2]


@pytest.mark.parametrize("cluster", ["lab"], indirect=True)  # no scheduler runs beside the real API server
async def test_the_scheduler_leaves_the_other_conditions_of_a_pod_alone(controlled: Controlled) -> None:
    def told(pods: list[Object]) -> str:
        return str(condition(pods[0], "PodScheduled").get("message", ""))

    await controlled.create()
    pods = await controlled.until(api.PODS, lambda pods: pods and told(pods))
    before = told(pods)
    await controlled.make_ready(pods)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "unusable"}, "spec": {"unschedulable": True}}
    await controlled.client.create(api.NODES, node)
    pods = await controlled.until(api.PODS, lambda pods: told(pods) != before)
    assert condition(pods[0], "Ready")["status"] == "True"


async def test_going_back_uses_the_old_replica_set_with_a_new_revision(controlled: Controlled) -> None:
    await controlled.create(replicas=1)
    (first,) = await controlled.pods(1)
    name = first["metadata"]["ownerReferences"][0]["name"]
    for image, revision in (("web:2", "2"), ("web:1", "3")):
        await controlled.patch({"template": {"spec": {"containers": [{"name": "web", "image": image}]}}})
        await controlled.deployment(lambda d, revision=revision: d["metadata"]["annotations"][REVISION] == revision)
    found = await controlled.client.get(api.REPLICA_SETS, controlled.namespace, name)
    assert found["metadata"]["annotations"][REVISION] == "3"
    assert len((await controlled.client.list(api.REPLICA_SETS, controlled.namespace))["items"]) == 2


async def test_recreate_waits_until_the_old_pods_are_gone(controlled: Controlled) -> None:
    await controlled.create(strategy={"type": "Recreate"})
    (first,) = await controlled.pods(1)
    name, finalizer = first["metadata"]["name"], "keyturn.test/held"
    held = {"metadata": {"finalizers": [finalizer]}}
    await controlled.client.patch(api.PODS, controlled.namespace, name, held)
    await controlled.patch({"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}})
    await controlled.until(api.PODS, lambda pods: [p for p in pods if p["metadata"].get("deletionTimestamp")])
    await controlled.deployment(lambda d: d["status"]["observedGeneration"] == d["metadata"]["generation"])
    pods = (await controlled.client.list(api.PODS, controlled.namespace))["items"]
    assert [pod["metadata"]["name"] for pod in pods] == [name]
    await controlled.client.patch(api.PODS, controlled.namespace, name, {"metadata": {"finalizers": None}})
    await controlled.until(api.PODS, lambda pods: images(pods) == ["web:2"])


async def test_a_rollout_that_takes_too_long_says_so(controlled: Controlled) -> None:
    await controlled.create(progressDeadlineSeconds=1)
    late = await controlled.deployment(
        lambda d: condition(d, "Progressing").get("reason") == "ProgressDeadlineExceeded"
    )
    (pod,) = await controlled.pods(1)
    name = pod["metadata"]["ownerReferences"][0]["name"]
    assert condition(late, "Progressing")["status"] == "False"
    assert condition(late, "Progressing")["message"] == f'ReplicaSet "{name}" has timed out progressing.'


async def test_a_pod_that_cannot_be_created_is_told_of(controlled: Controlled) -> None:
    await controlled.create(pod={"serviceAccountName": "nobody"})
    where = f"{controlled.namespace}/nobody"
    text = await controlled.event("FailedCreate")
    assert text.startswith("Error creating: pods ")
    assert text.endswith(f'is forbidden: error looking up service account {where}: serviceaccount "nobody" not found')
    failed = await controlled.deployment(lambda d: condition(d, "ReplicaFailure"))
    assert condition(failed, "ReplicaFailure")["reason"] == "FailedCreate"


async def test_endpoints_follow_readiness(controlled: Controlled) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "somewhere"}}
    await controlled.client.create(api.NODES, node)
    await controlled.create(pod={"nodeName": "somewhere"})
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": controlled.namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    await controlled.client.create(api.SERVICES, service)
    pods = await controlled.pods(1)
    for up in (False, True):
        await controlled.make_ready(pods, ready=up, address="10.9.8.7")
        found = await controlled.until(
            api.ENDPOINT_SLICES,
            lambda items, up=up: any(e["conditions"]["ready"] is up for item in items for e in item["endpoints"] or []),
        )
        assert found[0]["endpoints"][0]["addresses"] == ["10.9.8.7"]
        assert found[0]["ports"][0]["port"] == 8080
        assert found[0]["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
        field = "addresses" if up else "notReadyAddresses"
        (endpoints,) = await controlled.until(
            api.ENDPOINTS, lambda items, field=field: items and (items[0].get("subsets") or [{}])[0].get(field)
        )
        assert [entry["ip"] for entry in endpoints["subsets"][0][field]] == ["10.9.8.7"]


async def test_every_namespace_gets_an_account_and_the_root_certificate(controlled: Controlled) -> None:
    (found,) = await controlled.until(api.CONFIG_MAPS, lambda items: items)
    assert found["metadata"]["name"] == "kube-root-ca.crt"
    assert "BEGIN CERTIFICATE" in found["data"]["ca.crt"]
    account = await controlled.client.get(api.SERVICE_ACCOUNTS, controlled.namespace, "default")
    await controlled.client.delete(api.SERVICE_ACCOUNTS, controlled.namespace, "default")
    uid = account["metadata"]["uid"]
    await controlled.until(api.SERVICE_ACCOUNTS, lambda items: items and items[0]["metadata"]["uid"] != uid)


async def test_what_a_deployment_owns_goes_with_it(controlled: Controlled) -> None:
    await controlled.create(replicas=2)
    await controlled.pods(2)
    await controlled.client.delete(api.DEPLOYMENTS, controlled.namespace, "web")
    for resource in (api.REPLICA_SETS, api.PODS):
        assert await controlled.until(resource, lambda items: not items) == []


async def test_a_namespace_ends_with_everything_in_it(controlled: Controlled) -> None:
    await controlled.create(replicas=2)
    await controlled.pods(2)
    await controlled.client.delete(api.NAMESPACES, "", controlled.namespace)
    names = [
        item["metadata"]["name"]
        for item in await controlled.until(
            api.NAMESPACES, lambda items: controlled.namespace not in [item["metadata"]["name"] for item in items]
        )
    ]
    assert controlled.namespace not in names
    assert "default" in names
    for resource in (api.DEPLOYMENTS, api.PODS, api.SERVICE_ACCOUNTS):
        assert (await controlled.client.list(resource, controlled.namespace))["items"] == []
