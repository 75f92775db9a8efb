"""Tables: the columns and cells that kubectl get prints, equal on both API servers."""

from typing import Any

import pytest
from kubernetes_world import MERGE, TABLE, Json, KubernetesWorld, Space, config_map, deployment

COLUMNS = {
    "api/v1/pods": "Name Ready Status Restarts Age IP Node Nominated-Node Readiness-Gates",
    "apis/apps/v1/deployments": "Name Ready Up-to-date Available Age Containers Images Selector",
    "apis/apps/v1/replicasets": "Name Desired Current Ready Age Containers Images Selector",
    "apis/apps/v1/statefulsets": "Name Ready Age Containers Images",
    "apis/apps/v1/daemonsets": (
        "Name Desired Current Ready Up-to-date Available Node-Selector Age Containers Images Selector"
    ),
    "apis/apps/v1/controllerrevisions": "Name Controller Revision Age",
    "apis/batch/v1/jobs": "Name Status Completions Duration Age Containers Images Selector",
    "apis/batch/v1/cronjobs": ("Name Schedule Timezone Suspend Active Last-Schedule Age Containers Images Selector"),
    "api/v1/services": "Name Type Cluster-IP External-IP Port(s) Age Selector",
    "api/v1/secrets": "Name Type Data Age",
    "api/v1/configmaps": "Name Data Age",
    "api/v1/serviceaccounts": "Name Secrets Age",
    "api/v1/namespaces": "Name Status Age",
    "api/v1/nodes": ("Name Status Roles Age Version Internal-IP External-IP OS-Image Kernel-Version Container-Runtime"),
    "api/v1/events": "Last-Seen Type Reason Object Subobject Source Message First-Seen Count Name",
    "api/v1/endpoints": "Name Endpoints Age",
    "api/v1/persistentvolumeclaims": (
        "Name Status Volume Capacity Access-Modes StorageClass VolumeAttributesClass Age VolumeMode"
    ),
    "api/v1/persistentvolumes": (
        "Name Capacity Access-Modes Reclaim-Policy Status Claim StorageClass VolumeAttributesClass "
        "Reason Age VolumeMode"
    ),
    "apis/storage.k8s.io/v1/csidrivers": (
        "Name AttachRequired PodInfoOnMount StorageCapacity TokenRequests RequiresRepublish Modes Age"
    ),
    "apis/storage.k8s.io/v1/csinodes": "Name Drivers Age",
    "apis/storage.k8s.io/v1/storageclasses": (
        "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age"
    ),
    "apis/discovery.k8s.io/v1/endpointslices": "Name AddressType Ports Endpoints Age",
    "apis/coordination.k8s.io/v1/leases": "Name Holder Age",
    "apis/rbac.authorization.k8s.io/v1/roles": "Name Created-At",
    "apis/rbac.authorization.k8s.io/v1/rolebindings": "Name Role Age Users Groups ServiceAccounts",
    "apis/rbac.authorization.k8s.io/v1/clusterroles": "Name Created-At",
    "apis/apiextensions.k8s.io/v1/customresourcedefinitions": "Name Created-At",
}


def cells(space: Space, path: str) -> dict[str, Any]:
    """The cells of the one row of a table, by column, without the ages."""
    table = space.api("GET", path, accept=TABLE).body
    names = [column["name"] for column in table["columnDefinitions"]]
    (row,) = table["rows"]
    return {name: cell for name, cell in zip(names, row["cells"], strict=True) if name not in ("Age", "Name")}


def pod(**spec: Any) -> Json:
    containers = [{"name": name, "image": "i:1"} for name in ("a", "b")]
    return {"metadata": {"name": "one"}, "spec": {"schedulerName": "none", "containers": containers} | spec}


def container_status(name: str, *, ready: bool = False, restarts: int = 0, **state: Json) -> Json:
    found = {"name": name, "ready": ready, "restartCount": restarts, "image": "i:1", "imageID": "", "state": state}
    return found | (
        {"lastState": {"terminated": {"exitCode": 1, "finishedAt": "2020-01-01T00:00:00Z"}}} if restarts else {}
    )


@pytest.mark.parametrize("path", COLUMNS)
def test_every_kind_has_its_columns(kubernetes: KubernetesWorld, path: str) -> None:
    table = kubernetes.api("GET", f"/{path}", accept=TABLE).body
    names = [column["name"].replace(" ", "-") for column in table["columnDefinitions"]]
    assert (table["kind"], " ".join(names)) == ("Table", COLUMNS[path])


def test_a_row_carries_metadata_alone_unless_asked(space: Space) -> None:
    space.api.create(space.path("secrets"), {"metadata": {"name": "one"}, "stringData": {"a": "hidden"}})
    path = space.path("secrets")
    metadata = space.api("GET", path, accept=TABLE).body["rows"][0]["object"]
    assert (metadata["kind"], "data" in metadata) == ("PartialObjectMetadata", False)
    whole = space.api("GET", f"{path}?includeObject=Object", accept=TABLE).body["rows"][0]["object"]
    assert whole["data"] == {"a": "aGlkZGVu"}


def test_a_new_pod_is_pending(space: Space) -> None:
    space.api.create(space.path("pods"), pod())
    found = cells(space, space.path("pods", "one"))
    assert (found["Ready"], found["Status"], found["Restarts"]) == ("0/2", "Pending", "0")
    assert (found["IP"], found["Nominated Node"], found["Readiness Gates"]) == ("<none>", "<none>", "<none>")


@pytest.mark.parametrize(
    ("phase", "statuses", "shown"),
    [
        (
            "Running",
            [container_status("a", ready=True, running={}), container_status("b", ready=True, running={})],
            ("2/2", "Running", "0"),
        ),
        (
            "Pending",
            [container_status("a", waiting={"reason": "ContainerCreating"})],
            ("0/2", "ContainerCreating", "0"),
        ),
        (
            "Pending",
            [
                container_status("a", ready=True, running={}),
                container_status("b", waiting={"reason": "ImagePullBackOff"}),
            ],
            ("1/2", "ImagePullBackOff", "0"),
        ),
        (
            "Running",
            [container_status("a", restarts=2, waiting={"reason": "CrashLoopBackOff"})],
            ("0/2", "CrashLoopBackOff", "2 ("),
        ),
        ("Failed", [container_status("a", terminated={"exitCode": 3})], ("0/2", "ExitCode:3", "0")),
        ("Failed", [container_status("a", terminated={"exitCode": 1, "reason": "Error"})], ("0/2", "Error", "0")),
    ],
)
def test_a_pod_shows_what_its_containers_do(
    space: Space, phase: str, statuses: list[Json], shown: tuple[str, str, str]
) -> None:
    space.api.create(space.path("pods"), pod())
    status = {"phase": phase, "containerStatuses": statuses, "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}
    space.api.patch(space.path("pods", "one") + "/status", {"status": status})
    found = cells(space, space.path("pods", "one"))
    assert (found["Ready"], found["Status"], found["IP"]) == (shown[0], shown[1], "10.0.0.9")
    assert found["Restarts"].startswith(shown[2])


def test_a_pod_that_is_being_deleted_is_terminating(space: Space) -> None:
    space.api.create(space.path("pods"), pod(nodeName="n1"))
    space.api("DELETE", space.path("pods", "one"))
    assert cells(space, space.path("pods", "one"))["Status"] == "Terminating"
    space.api("DELETE", space.path("pods", "one"), {"gracePeriodSeconds": 0})


def test_an_init_container_shows_its_turn(space: Space) -> None:
    space.api.create(space.path("pods"), pod(initContainers=[{"name": "first", "image": "i:1"}]))
    waiting = {"initContainerStatuses": [container_status("first", waiting={"reason": "PodInitializing"})]}
    space.api.patch(space.path("pods", "one") + "/status", {"status": waiting})
    assert cells(space, space.path("pods", "one"))["Status"] == "Init:0/1"


def test_a_deployment_shows_its_counts(space: Space) -> None:
    space.api.create(space.apps("deployments"), deployment("web", 0, paused=True))
    found = cells(space, space.apps("deployments", "web"))
    assert found == {
        "Ready": "0/0",
        "Up-to-date": 0,
        "Available": 0,
        "Containers": "web",
        "Images": "postgres:14",
        "Selector": "app=web",
    }


def test_a_load_balancer_is_pending_until_it_has_an_address(space: Space) -> None:
    ports = [{"port": 5432}]
    body = {"metadata": {"name": "db"}, "spec": {"type": "LoadBalancer", "ports": ports, "loadBalancerClass": "x.y/z"}}
    made = space.api.create(space.path("services"), body)
    path, node_port = space.path("services", "db"), made["spec"]["ports"][0]["nodePort"]
    assert cells(space, path) == {
        "Type": "LoadBalancer",
        "Cluster-IP": made["spec"]["clusterIP"],
        "External-IP": "<pending>",
        "Port(s)": f"5432:{node_port}/TCP",
        "Selector": "<none>",
    }
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}
    table = space.api("PATCH", f"{path}/status", status, content_type=MERGE, accept=TABLE).body
    assert table["rows"][0]["cells"][3] == "1.2.3.4"


def test_secrets_and_config_maps_show_how_much_they_hold(space: Space) -> None:
    space.api.create(space.path("secrets"), {"metadata": {"name": "one"}, "stringData": {"a": "1", "b": "2"}})
    space.api.create(space.path("configmaps"), config_map("one", a="1"))
    assert cells(space, space.path("secrets", "one")) == {"Type": "Opaque", "Data": 2}
    assert cells(space, space.path("configmaps", "one")) == {"Data": 1}


def test_a_csi_driver_shows_its_token_requests(space: Space) -> None:
    path, name = "/apis/storage.k8s.io/v1/csidrivers", f"{space.name}.example.com"
    spec = {"attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral"]}
    for requests, shown in ((None, "<unset>"), ([{"audience": "a"}, {"audience": "b"}], "a,b")):
        body = {"metadata": {"name": name}, "spec": spec | ({"tokenRequests": requests} if requests else {})}
        space.api.create(path, body)
        found = cells(space, f"{path}/{name}")
        space.api("DELETE", f"{path}/{name}")
        assert found == {
            "AttachRequired": False,
            "PodInfoOnMount": True,
            "StorageCapacity": False,
            "TokenRequests": shown,
            "RequiresRepublish": False,
            "Modes": "Ephemeral",
        }


def test_an_event_shows_whom_it_is_about(space: Space) -> None:
    body = {
        "metadata": {"name": "one"},
        "involvedObject": {"kind": "Pod", "name": "web", "namespace": space.name, "fieldPath": "spec.containers{c}"},
        "reason": "Pulled",
        "message": "done ",
        "type": "Normal",
        "source": {"component": "kubelet", "host": "n1"},
        "count": 3,
    }
    space.api.create(space.path("events"), body)
    found = cells(space, space.path("events", "one"))
    assert found == {
        "Last Seen": "<unknown>",
        "Type": "Normal",
        "Reason": "Pulled",
        "Object": "pod/web",
        "Subobject": "spec.containers{c}",
        "Source": "kubelet, n1",
        "Message": "done",
        "First Seen": "<unknown>",
        "Count": 3,
    }


def test_an_endpoint_slice_is_shortened(space: Space) -> None:
    addresses = [{"addresses": [f"10.0.0.{last}"]} for last in range(1, 6)]
    body = {"metadata": {"name": "one"}, "addressType": "IPv4", "endpoints": addresses, "ports": [{"port": 80}]}
    path = "apis/discovery.k8s.io/v1"
    space.api.create(space.path("endpointslices", group=path), body)
    assert cells(space, space.path("endpointslices", "one", path)) == {
        "AddressType": "IPv4",
        "Ports": "80",
        "Endpoints": "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...",
    }


def test_a_node_shows_its_state(space: Space) -> None:
    labels = {"node-role.kubernetes.io/agent": "", "kubernetes.io/os": "linux"}
    conditions = [{"type": "Ready", "status": "True"}]
    addresses = [{"type": "InternalIP", "address": "10.1.0.4"}]
    info = {
        "kubeletVersion": "v1.34.4",
        "osImage": "Ubuntu",
        "kernelVersion": "5",
        "containerRuntimeVersion": "lab://1",
    }
    name = space.name
    space.api.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}, "spec": {"unschedulable": True}})
    status = {"conditions": conditions, "addresses": addresses, "nodeInfo": info}
    space.api.patch(f"/api/v1/nodes/{name}/status", {"status": status})
    found = cells(space, f"/api/v1/nodes/{name}")
    space.api("DELETE", f"/api/v1/nodes/{name}")
    assert (found["Status"], found["Roles"], found["Version"]) == ("Ready,SchedulingDisabled", "agent", "v1.34.4")
    assert (found["Internal-IP"], found["External-IP"], found["OS-Image"]) == ("10.1.0.4", "<none>", "Ubuntu")
