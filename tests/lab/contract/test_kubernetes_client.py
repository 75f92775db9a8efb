"""The official Python client, unmodified, on both API servers."""

import threading
from collections.abc import Iterator

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes_world import KubernetesWorld, Space, config_map, deployment


@pytest.fixture
def connection(kubernetes: KubernetesWorld) -> Iterator[client.ApiClient]:
    with config.new_client_from_config_dict(kubernetes.kubeconfig) as made:
        yield made


def test_objects_come_and_go(connection: client.ApiClient, space: Space) -> None:
    core = client.CoreV1Api(connection)
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="one"), string_data={"a": "b"})
    made = core.create_namespaced_secret(space.name, secret)
    assert made.data == {"a": "Yg=="}
    read = core.read_namespaced_secret("one", space.name)
    read.data["a"] = "Yw=="
    assert core.replace_namespaced_secret("one", space.name, read).data == {"a": "Yw=="}
    with pytest.raises(ApiException) as error:
        core.replace_namespaced_secret("one", space.name, made)
    assert (error.value.status, error.value.reason) == (409, "Conflict")
    assert core.delete_namespaced_secret("one", space.name)["status"] == "Success"
    with pytest.raises(ApiException) as error:
        core.read_namespaced_secret("one", space.name)
    assert error.value.status == 404


def test_a_deployment_is_scaled(connection: client.ApiClient, space: Space) -> None:
    apps = client.AppsV1Api(connection)
    apps.create_namespaced_deployment(space.name, deployment("web", paused=True))
    scale = apps.patch_namespaced_deployment_scale("web", space.name, {"spec": {"replicas": 3}})
    assert scale.spec.replicas == 3
    assert apps.read_namespaced_deployment("web", space.name).spec.replicas == 3


def test_a_watch_follows_from_a_list(connection: client.ApiClient, space: Space) -> None:
    core = client.CoreV1Api(connection)
    listed = core.list_namespaced_secret(space.name)
    timer = threading.Timer(0.05, space.api.create, (space.path("secrets"), {"metadata": {"name": "late"}}))
    timer.start()
    stream = watch.Watch()
    version = listed.metadata.resource_version
    for event in stream.stream(core.list_namespaced_secret, space.name, resource_version=version, timeout_seconds=10):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "late")
        stream.stop()
    timer.join()


def test_a_watch_from_the_past_is_gone(connection: client.ApiClient, space: Space, widgets: str) -> None:
    space.api.create(widgets, {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one"}})
    custom = client.CustomObjectsApi(connection)
    arguments = {"group": "example.com", "version": "v1", "namespace": space.name, "plural": "widgets"}
    with pytest.raises(ApiException) as error:
        list(watch.Watch().stream(custom.list_namespaced_custom_object, resource_version="1", **arguments))
    assert error.value.status == 410


def test_the_dynamic_client_discovers_and_applies(
    connection: client.ApiClient, space: Space, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = tmp_path_factory.mktemp("discovery") / "cache.json"
    kinds = dynamic.DynamicClient(connection, cache_file=str(cache)).resources.get(api_version="v1", kind="ConfigMap")
    first = kinds.server_side_apply(config_map("one", a="1"), namespace=space.name, field_manager="me")
    assert first.metadata.managedFields[0].operation == "Apply"
    with pytest.raises(dynamic.exceptions.ConflictError):
        kinds.server_side_apply(config_map("one", a="2"), namespace=space.name, field_manager="you")
    forced = kinds.server_side_apply(
        config_map("one", a="2"), namespace=space.name, field_manager="you", force_conflicts=True
    )
    assert forced.data.a == "2"


def test_a_token_is_requested(connection: client.ApiClient, space: Space) -> None:
    core = client.CoreV1Api(connection)
    spec = client.V1TokenRequestSpec(audiences=["x"], expiration_seconds=3600)
    body = client.AuthenticationV1TokenRequest(spec=spec)
    answer = core.create_namespaced_service_account_token("default", space.name, body)
    assert answer.status.token.count(".") == 2
    assert answer.status.expiration_timestamp is not None
