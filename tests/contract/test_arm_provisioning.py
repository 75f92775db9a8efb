"""The flows provision and tear_down against the local Azure, without clusters, machines and databases behind it.

Who runs them has the roles that docs/azure.md names, at the scopes that it names, and no others.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from arm_world import GROUP, LOCATION, SCOPE, World
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from flows.provision import provision
from infra.errors import KeyturnError, Refused
from infra.provisioning.options import ProvisionOptions
from lab.azure.roles import find_role_by_name
from lab.control.options import SUBSCRIPTION_ID, TENANT_ID
from testing.bare import without_prefect
from testing.rotating import STACK

SOMEBODY = "11111111-0000-4000-8000-000000000001"
Run = Callable[..., Any]


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the flow provision in this process; returns what it came to, or its error."""
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION_ID)

    def provisioned(dry_run: bool = False, **options: Any) -> Any:
        with without_prefect():
            return provision.fn(STACK.name, dry_run, ProvisionOptions(**options)).data

    return provisioned


@pytest.fixture
def as_caller(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Lets the flows be run by an application that has roles, each at a scope, and no others."""

    def become(roles: Mapping[str, str]) -> None:
        made = world.cloud.add_application("somebody")
        for name, scope in roles.items():
            role = find_role_by_name(name)
            assert role is not None
            world.access.assign(scope, role.guid, made["object_id"], str(uuid.uuid4()))
        monkeypatch.setenv("AZURE_CLIENT_ID", made["client_id"])
        monkeypatch.setenv("AZURE_CLIENT_SECRET", made["client_secret"])

    return become


def groups(world: World) -> list[str]:
    return [group.name for group in world.client(ResourceManagementClient).resource_groups.list()]


def make_vault_with_policy(world: World) -> None:
    """A vault with an access policy of somebody else."""
    world.client(ResourceManagementClient).resource_groups.create_or_update(GROUP, {"location": LOCATION})
    policy = {"tenantId": TENANT_ID, "objectId": SOMEBODY, "permissions": {"secrets": ["get", "list"], "keys": []}}
    properties = {
        "tenantId": TENANT_ID,
        "sku": {"family": "A", "name": "standard"},
        "enableRbacAuthorization": False,
        "accessPolicies": [policy],
    }
    body: Any = {"location": LOCATION, "properties": properties}
    world.client(KeyVaultManagementClient).vaults.begin_create_or_update(GROUP, STACK.vault, body).result()


def uses_rbac(world: World) -> bool:
    found = world.vaults.find(STACK.vault)
    assert found is not None
    return bool(found.rbac)


def test_access_policies_are_dropped_with_consent_alone(world: World, run: Run) -> None:
    make_vault_with_policy(world)
    refused = run()
    assert type(refused) is Refused
    assert refused.code == "ConsentToLosses"
    assert f"{SOMEBODY} (secrets get, list)" in refused.seen
    assert not uses_rbac(world)
    assert run(drop_access_policies=True).verdict == "provisioned"
    assert uses_rbac(world)


def test_the_pods_identity_may_read_the_secrets_of_its_credential_and_no_others(world: World, run: Run) -> None:
    assert not isinstance(made := run(), KeyturnError), made
    identity = f"{SCOPE}/resourceGroups/{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    principal = world.directory.by_resource_id(f"{identity}/{STACK.identity}")
    assert principal is not None
    vault = f"{SCOPE}/resourceGroups/{GROUP}/providers/Microsoft.KeyVault/vaults/{STACK.vault}"
    get = "Microsoft.KeyVault/vaults/secrets/getSecret/action"

    def may_read(secret: str) -> bool:
        return world.access.is_allowed(principal.object_id, get, f"{vault}/secrets/{secret}", data=True)

    assert [name for name in ("username", "password", "server-username", "server-password") if may_read(name)] == [
        "username",
        "password",
    ]
    assert run().verdict == "unchanged"
