"""Pods that do not get ready on the lab: each thing that can be wrong is told by its code, and disturbs nothing."""

from collections.abc import Iterator

import pytest
from unwell import NAME, Unwell, identity_that_trusts, service_account, told

from infra.azure.client import Azure
from infra.azure.identities import Identities
from infra.errors import WorkloadUnhealthy
from infra.kubernetes.manifests import apply
from infra.kubernetes.workloads import wait_for_load_balancer
from infra.provisioning.resources import Identity
from testing.rotating import STACK, World
from tests.kubernetes_objects import delete

pytestmark = pytest.mark.owner


@pytest.fixture
def identity(world: World) -> Identity:
    with Azure(world.settings) as azure:
        return Identities(azure, STACK.resource_group).get(STACK.identity)


@pytest.fixture(autouse=True)
def undisturbed(world: World) -> Iterator[None]:
    """The stack beside it is the same before and after each test."""
    before = world.snapshot()
    yield
    assert world.snapshot() == before


CASES = {
    "a vault that does not exist": (Unwell({"keyvaultName": "nosuchvault"}), "VaultNotFound"),
    "a vault's name that cannot be": (Unwell({"keyvaultName": "x"}), "InvalidVaultName"),
    "no vault's name": (Unwell({"keyvaultName": ""}), "InvalidVaultName"),
    "an unknown client id": (Unwell({"clientID": "00000000-0000-4000-8000-00000000dead"}), "AADSTS700016"),
    "a key that the Secret lacks": (Unwell(reference=(NAME, "NOSUCH")), "SecretKeyMissing"),
    "a Secret that does not exist": (Unwell(reference=("nosuch", "NAME")), "SecretMissing"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_told_by_its_code(world: World, identity: Identity, case: str) -> None:
    unwell, code = CASES[case]
    error = told(world.cluster, STACK, unwell, identity)
    assert (type(error), error.code) == (WorkloadUnhealthy, code)
    assert error.name == f"{NAME} in {STACK.namespace}"
    assert error.fix


def test_a_secret_that_the_vault_lacks_is_reported_as_one_that_may_not_be_read(
    world: World, identity: Identity
) -> None:
    error = told(world.cluster, STACK, Unwell(object_name="nosuch"), identity)
    assert error.code == "ForbiddenByRbac", "an identity with rights on single secrets gets no other answer"
    assert "the vault has none of this name" in error.what
    assert "objectName:nosuch" in error.seen
    assert "objectName" in error.fix
    assert "Key Vault Secrets User" in error.fix


def test_an_image_that_does_not_exist_is_named(world: World, identity: Identity) -> None:
    error = told(world.cluster, STACK, Unwell(image="nosuchimage:1"), identity)
    assert error.code in ("ErrImagePull", "ImagePullBackOff")
    assert error.what == "The registry denies access to the image: nosuchimage:1", (
        "Docker Hub does not tell missing from private"
    )


def test_a_service_account_that_is_not_trusted_is_told_by_entra_id(world: World, identity: Identity) -> None:
    with service_account(world.cluster, STACK, "another-sa"):
        error = told(world.cluster, STACK, Unwell(account="another-sa"), identity)
    assert error.code == "AADSTS700213"
    assert "subject" in error.fix


def test_a_wrong_issuer_is_told_by_entra_id(world: World) -> None:
    wrong = identity_that_trusts(STACK, "id-wrong-issuer", issuer="https://eastus2.oic.prod-aks.azure.com/another/one/")
    assert told(world.cluster, STACK, Unwell(), wrong).code == "AADSTS700211"


def test_a_wrong_audience_is_told_by_entra_id(world: World) -> None:
    wrong = identity_that_trusts(STACK, "id-wrong-audience", audience="api://another")
    assert told(world.cluster, STACK, Unwell(), wrong).code == "AADSTS700212"


def test_an_identity_without_role_is_told_by_the_vault(world: World) -> None:
    bare = identity_that_trusts(STACK, "id-without-role")
    error = told(world.cluster, STACK, Unwell(), bare)
    assert error.code == "ForbiddenByRbac"
    assert "Key Vault Secrets User" in error.fix


def test_a_load_balancer_that_gets_no_address_is_told(world: World) -> None:
    document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": STACK.namespace},
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": "example.com/nobody-makes-it",
            "selector": {"app": NAME},
            "ports": [{"port": 5432}],
        },
    }
    apply(world.cluster, [document])
    try:
        with pytest.raises(WorkloadUnhealthy) as caught:
            wait_for_load_balancer(world.cluster, STACK.namespace, NAME, 0.5)
    finally:
        delete(world.cluster, [document])
    assert caught.value.code == "NoAddress"
