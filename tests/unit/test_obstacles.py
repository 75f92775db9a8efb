"""What a workload's own object says: which of its containers have the Secret in their environment, or a part of it."""

from typing import Any, cast

import pytest

from infra.credentials import Consumer, WorkloadKind
from infra.kubernetes.client import Cluster
from infra.kubernetes.obstacles import Obstacles, read_obstacles
from testing.walkthrough import DATABASE, consumer_like

CLIENT = consumer_like(DATABASE, name="client", is_database=False, needs_restart=False)
CLASS, SECRET = CLIENT.delivery.secret_provider_class, CLIENT.delivery.synced_secret
CSI = {"name": "login", "csi": {"volumeAttributes": {"secretProviderClass": CLASS}}}
PROJECTED = {"name": "login", "projected": {"sources": [{"configMap": {"name": "x"}}, {"secret": {"name": SECRET}}]}}
PART = {"name": "login", "mountPath": "/app/password", "subPath": "password"}
WHOLE = {"name": "login", "mountPath": "/app"}
UNREAD = f"SecretProviderClass {CLASS}"


class Item:
    """A cluster that has one workload."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item

    def get(self, path: str) -> dict[str, Any]:
        return self.item


def read(pod: dict[str, Any], consumer: Consumer = CLIENT, **spec: Any) -> Obstacles:
    item = {"metadata": {"name": "client"}, "spec": {"template": {"spec": pod}, **spec}}
    return read_obstacles(cast(Cluster, Item(item)), consumer)


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "client", **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "PASSWORD"}}}]},
        {"envFrom": [{"configMapRef": {"name": "x"}}, {"secretRef": {"name": SECRET}}]},
    ],
    ids=["env", "envFrom"],
)
def test_a_container_that_has_the_secret_in_its_environment_is_named(fields: dict[str, Any]) -> None:
    assert read({"containers": [container(**fields)]}).environments == ("client",)
    sidecar = container(**fields, restartPolicy="Always")
    assert read({"containers": [container()], "initContainers": [sidecar]}).environments == ("client",)
    done = container(**fields)
    assert read({"containers": [container()], "initContainers": [done]}).environments == (), "it ended at the start"


def test_a_variable_of_another_secret_is_nothing() -> None:
    other = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "other", "key": "TOKEN"}}}, {"name": "A"}]
    assert read({"containers": [container(env=other, envFrom=[{"secretRef": {"name": "other"}}])]}).environments == ()


@pytest.mark.parametrize(
    "volume",
    [CSI, {"name": "login", "secret": {"secretName": SECRET}}, PROJECTED],
    ids=["class", "Secret", "projected"],
)
def test_a_part_of_the_class_or_of_its_secret_is_named(volume: dict[str, Any]) -> None:
    seen = read({"volumes": [volume], "containers": [container(volumeMounts=[PART])]})
    assert seen.parts == ("/app/password of the container client",)
    assert seen.unread == (() if volume is CSI else (UNREAD,))
    assert read({"volumes": [volume], "containers": [container(volumeMounts=[WHOLE])]}).parts == ()


def test_what_holds_a_restart_back_is_seen_at_the_kind_that_has_it() -> None:
    strategy = {"updateStrategy": {"type": "OnDelete"}}
    ordered = consumer_like(CLIENT, kind=WorkloadKind.STATEFUL_SET)
    assert read({"containers": []}, ordered, **strategy).hold == "updateStrategy.type is OnDelete"
    assert read({"containers": []}, **strategy).hold == ""
