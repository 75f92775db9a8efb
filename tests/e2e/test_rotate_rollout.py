"""An Argo Rollout whose class mounts older versions, too, gets the new password by a restart that is no canary."""

from collections.abc import Iterator
from typing import Any

import pytest
from clients import SECONDS, manifest

from infra.credentials import CsiDelivery, WorkloadKind
from infra.kubernetes.deliveries.provider_classes import parse_objects, path_of
from infra.kubernetes.pods import run_in_pod
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from infra.rotation.execution import Verdict
from testing.rollouts import API, install_rollouts, rollout
from testing.rotating import KEYS, NAMESPACE, World, rotate
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

HISTORY = CsiDelivery(secret_provider_class="history", synced_secret="history")
CLIENT = consumer_like(DATABASE, name="web", kind=WorkloadKind.ROLLOUT, is_database=False, delivery=HISTORY)
CREDENTIAL = change(DEXTER, strategy="in-place", consumers=(DATABASE, CLIENT))
ROLLOUTS = f"/apis/{API}/namespaces/{NAMESPACE}/rollouts"
PAUSING = [{"setWeight": 50}, {"pause": {}}]


def class_with_history(world: World) -> dict[str, Any]:
    """Return a class like the database's, which mounts two older versions of each object beside the newest."""
    like = world.cluster.get(path_of(NAMESPACE, DATABASE.delivery.secret_provider_class))
    parameters = like["spec"]["parameters"]
    names = [entry["objectName"] for entry in parse_objects(parameters["objects"])]
    entries = [
        f"  - |\n    objectName: {name}\n    objectType: secret\n    objectVersionHistory: 2\n" for name in names
    ]
    (synced,) = like["spec"]["secretObjects"]
    data = [{**key, "objectName": f"{key['objectName']}/0"} for key in synced["data"]]
    spec = {
        **like["spec"],
        "parameters": {**parameters, "objects": "array:\n" + "".join(entries)},
        "secretObjects": [{**synced, "secretName": HISTORY.synced_secret, "data": data}],
    }
    metadata = {"name": HISTORY.secret_provider_class, "namespace": NAMESPACE}
    return {"apiVersion": like["apiVersion"], "kind": like["kind"], "metadata": metadata, "spec": spec}


def client() -> dict[str, Any]:
    spec = manifest(["true"])["spec"]
    labels = {**spec["template"]["metadata"]["labels"], "app": CLIENT.workload.name}
    spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"] = {"app": CLIENT.workload.name}, labels
    pod = spec["template"]["spec"]
    pod["volumes"][0]["csi"]["volumeAttributes"] = {"secretProviderClass": HISTORY.secret_provider_class}
    for variable in pod["containers"][0]["env"]:
        variable["valueFrom"]["secretKeyRef"]["name"] = HISTORY.synced_secret
    return rollout(CLIENT.workload.name, NAMESPACE, PAUSING, **{**spec, "replicas": 2})


@pytest.fixture
def web(world: World) -> Iterator[WorkloadHandle]:
    install_rollouts(world.cluster)
    made = class_with_history(world)
    classes = path_of(NAMESPACE, HISTORY.secret_provider_class)
    world.cluster.request("POST", classes.rpartition("/")[0], {}, made)
    world.cluster.request("POST", ROLLOUTS, {}, client())
    handle = open_workload(world.cluster, CLIENT.workload)
    handle.wait_for_ready(SECONDS)
    yield handle
    world.cluster.patch(handle.path, {"spec": {"replicas": 0}})
    handle.wait_for_pods_gone(SECONDS)
    world.cluster.delete(handle.path)
    world.cluster.delete(classes)


@pytest.mark.slow
def test_a_rollout_gets_the_new_password_without_a_canary(world: World, web: WorkloadHandle) -> None:
    before, template = web.get().live_pods, world.cluster.get(web.path)["spec"]["template"]
    _, previous = world.values()
    ended = rotate(CREDENTIAL, sync="express", data_loss="no")
    assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
    username, password = world.values()
    after, item = web.get(), world.cluster.get(web.path)
    assert len(after.live_pods) == 2
    assert not after.live_pods.keys() & before.keys()
    for pod in after.live_pods.values():
        has = [run_in_pod(world.cluster, NAMESPACE, pod, ["printenv", key]).stdout.strip() for key in KEYS]
        assert has == [username, password]
        assert run_in_pod(world.cluster, NAMESPACE, pod, ["cat", "/credential/password/0"]).stdout == password
    assert password != previous
    assert item["spec"]["template"] == template
    assert (item["status"]["phase"], after.paused) == ("Healthy", False)
    asked = item["spec"]["restartAt"]
    web.restart(
        after.restart.restarted_for, item["metadata"]["annotations"]["keyturn/restarted-with"].partition(" ")[2]
    )
    assert world.cluster.get(web.path)["spec"]["restartAt"] == asked, "a restart that was made is not made again"
    world.assert_well()
