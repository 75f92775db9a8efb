"""The schemas of the built-in kinds are those of a real API server, and both servers serve them."""

import json
from pathlib import Path

import pytest
from kubernetes_world import Json, KubernetesWorld

from lab.cluster.api.schema import source

GROUPS = (
    *("api/v1", "apis/apps/v1", "apis/discovery.k8s.io/v1", "apis/storage.k8s.io/v1", "apis/coordination.k8s.io/v1"),
    *("apis/rbac.authorization.k8s.io/v1", "apis/authorization.k8s.io/v1", "apis/authentication.k8s.io/v1"),
    *("apis/apiextensions.k8s.io/v1", "apis/policy/v1", "apis/autoscaling/v1", "apis/batch/v1"),
)


def test_schemas_json_is_what_a_real_server_publishes(kubernetes: KubernetesWorld) -> None:
    if kubernetes.small is not None:
        pytest.skip("schemas.json is compared with a real API server's OpenAPI")
    schemas: Json = {}
    for group in GROUPS:
        document = kubernetes.api.get(f"/openapi/v3/{group}")
        schemas |= {name: source.compact(item) for name, item in document["components"]["schemas"].items()}
    stored = json.loads((Path(source.__file__).parent / "schemas.json").read_text())
    assert source.reachable(schemas) == stored


@pytest.mark.parametrize("group", ["api/v1", "apis/apps/v1"])
def test_openapi_names_the_kind_of_every_path(kubernetes: KubernetesWorld, group: str) -> None:
    index = kubernetes.api.get("/openapi/v3")["paths"]
    document = kubernetes.api.get(index[group]["serverRelativeURL"])
    found = {
        operation["x-kubernetes-group-version-kind"]["kind"]
        for path in document["paths"].values()
        for method, operation in path.items()
        if method == "patch"
    }
    assert ({"Pod", "Secret"} if group == "api/v1" else {"Deployment", "ReplicaSet"}) <= found
    names = {item["name"] for item in document["paths"][_path(group)]["patch"].get("parameters", [])}
    assert {"dryRun", "fieldManager", "fieldValidation", "force"} <= names


def _path(group: str) -> str:
    return f"/{group}/namespaces/{{namespace}}/" + ("pods" if group == "api/v1" else "deployments") + "/{name}"


@pytest.mark.parametrize("group", ["api/v1", "apis/apps/v1", "apis/storage.k8s.io/v1"])
def test_discovery_lists_what_is_served(kubernetes: KubernetesWorld, group: str) -> None:
    answer = kubernetes.api.get(f"/{group}")
    version = group.split("/", 1)[1]
    assert (answer["kind"], answer["groupVersion"]) == ("APIResourceList", version)
    expected = {
        "api/v1": {"pods": ("Pod", ["po"], True), "namespaces": ("Namespace", ["ns"], False)},
        "apis/apps/v1": {"deployments": ("Deployment", ["deploy"], True)},
        "apis/storage.k8s.io/v1": {"csidrivers": ("CSIDriver", None, False)},
    }[group]
    found = {item["name"]: (item["kind"], item.get("shortNames"), item["namespaced"]) for item in answer["resources"]}
    assert expected.items() <= found.items()
