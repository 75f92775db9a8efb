"""External Secrets Operator beside rotations: what the lab's says of its ExternalSecrets, and who reads by one."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.credentials import Consumer, ExternalSecretDelivery, Strategy
from infra.errors import Code, SyncPending
from infra.kubernetes.deliveries import SecretState, open_delivery
from infra.kubernetes.manifests import apply
from infra.kubernetes.waiting import follow
from infra.rotation.execution import Verdict
from testing.external_secrets import API, STORE, external_secret, install_operator, store
from testing.rotating import NAMESPACE, World, rotate
from testing.walkthrough import DATABASE, DEXTER, change

COLLECTION = f"/apis/{API}/namespaces/{NAMESPACE}/externalsecrets"
NEVER = "0s"
SECONDS = 20


@pytest.fixture
def operated(world: World) -> Iterator[World]:
    """A stack with the operator and a store of its vault."""
    install_operator(world.cluster)
    apply(world.cluster, [store(NAMESPACE, DEXTER.vault, "dexter-sa")])
    yield world
    world.cluster.delete(f"{COLLECTION}/login")
    world.cluster.delete(f"/apis/{API}/namespaces/{NAMESPACE}/secretstores/{STORE}")


def put(world: World, keys: dict[str, str], **spec: Any) -> None:
    apply(world.cluster, [external_secret(NAMESPACE, "login", keys, **spec)])


def wait_for_condition(world: World, status: str, word: str) -> str:
    """Wait for a condition Ready of that status with a word in its message, and return the message."""
    query, seen = {"fieldSelector": "metadata.name=login"}, ""
    for items, _ in follow(world.cluster, COLLECTION, query, SECONDS):
        for item in items.values():
            for condition in (item.get("status") or {}).get("conditions") or []:
                seen = f"{condition['status']}: {condition['message']}"
                if condition["status"] == status and word in seen:
                    return seen
    raise AssertionError(f"not {status} with {word}, but {seen}")


@pytest.mark.owner
def test_the_operator_signs_in_by_the_service_account_and_syncs_when_it_is_told(operated: World) -> None:
    world, keys = operated, {"USERNAME": "username", "PASSWORD": "password"}
    put(world, {"USERNAME": "no-such-secret"}, refreshInterval=NEVER)
    assert "canary" not in wait_for_condition(world, "False", "ForbiddenByRbac")
    put(world, keys, refreshInterval=NEVER)
    wait_for_condition(world, "True", "secret synced")
    delivery = ExternalSecretDelivery(kind="external-secret", external_secret="login")
    opened = open_delivery(world.cluster, Consumer(workload=DATABASE.workload, delivery=delivery))
    before = dict(zip(("username", "password"), world.values(), strict=True))
    assert opened.observe(("username", "password"), before).secret is SecretState.CURRENT
    world.vault.write("password", "another-value", {})
    after = {**before, "password": "another-value"}
    with pytest.raises(SyncPending):
        opened.wait_until_current({}, {}, opened.seal(after), 1)
    assert opened.refresh(after) is SecretState.OTHER
    assert opened.observe(("username", "password"), after).secret is SecretState.CURRENT
    world.vault.write("password", before["password"], {})
    assert opened.refresh(before) is SecretState.OTHER
    bare = {
        "metadata": {"name": "bare", "namespace": NAMESPACE},
        "apiVersion": "v1",
        "kind": "ServiceAccount",
    }
    apply(world.cluster, [bare, store(NAMESPACE, DEXTER.vault, "bare")])
    world.cluster.patch(f"{COLLECTION}/login", {"metadata": {"annotations": {"force-sync": "now"}}})
    wait_for_condition(world, "False", "missing service account annotation")


def test_an_external_secret_that_nobody_listed_blocks_a_rotation(operated: World) -> None:
    put(operated, {"PASSWORD": "password"})
    before = operated.versions()
    refused = rotate(change(DEXTER, strategy=Strategy.IN_PLACE), sync="express")
    assert refused.verdict is Verdict.REFUSED
    assert refused.error is not None
    assert refused.error.code == Code.UNLISTED_CONSUMER
    assert refused.error.name == f"externalsecret {NAMESPACE}/login"
    assert operated.versions() == before
