"""The flows provision and tear_down against the local Azure, without clusters, machines and databases behind it.

Who runs them has the roles that docs/azure.md names, at the scopes that it names, and no others.
"""

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
from arm_world import GROUP, LOCATION, SCOPE, World
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from flows.provision import provision
from flows.tear_down import tear_down
from infra.azure import client
from infra.errors import AccessDenied, Conflict, InvalidInput, KeyturnError, Refused
from infra.provisioning import reconciling
from infra.provisioning.options import ProvisionOptions
from lab.azure.roles import find_role_by_name
from lab.control.options import SUBSCRIPTION_ID, TENANT_ID
from testing.bare import without_prefect
from testing.rotating import STACK

SOMEBODY = "11111111-0000-4000-8000-000000000001"
IN_GROUP = f"{SCOPE}/resourceGroups/{GROUP}"
ADMINISTRATOR = "Role Based Access Control Administrator"
Run = Callable[..., Any]
Become = Callable[[Mapping[str, str]], None]


def provisioned(dry_run: bool = False, **options: Any) -> Any:
    """Run the flow provision in this process; return what it came to, or its error."""
    with without_prefect():
        return provision.fn(STACK.name, dry_run, ProvisionOptions(**options)).data


def become(world: World, patch: pytest.MonkeyPatch, roles: Mapping[str, str]) -> None:
    """Let the flows be run by an application that has roles, each at a scope, and no others."""
    made = world.cloud.add_application("somebody")
    for name, scope in roles.items():
        role = find_role_by_name(name)
        assert role is not None
        world.access.assign(scope, role.guid, made["object_id"], str(uuid.uuid4()))
    patch.setenv("AZURE_CLIENT_ID", made["client_id"])
    patch.setenv("AZURE_CLIENT_SECRET", made["client_secret"])


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way is looked at often: in this Azure nothing takes long."""
    monkeypatch.setattr(client, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(reconciling, "POLL_SECONDS", 0.05)


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the flow provision in a subscription that has all providers."""
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION_ID)
    return provisioned


@pytest.fixture
def as_caller(world: World, monkeypatch: pytest.MonkeyPatch) -> Become:
    """Lets the flows be run by somebody else; see `become`."""
    return partial(become, world, monkeypatch)


@pytest.fixture
def new(fresh: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A new subscription, where flows find it."""
    for name, value in {**fresh.env, "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION_ID}.items():
        monkeypatch.setenv(name, value)
    return fresh


@pytest.fixture
def remove(run: Run) -> Run:
    """Runs the flow tear_down with its confirmation; returns how it ended."""

    def removed() -> Any:
        with without_prefect():
            return tear_down.fn(STACK.name, GROUP)

    return removed


def groups(world: World) -> list[str]:
    return [group.name for group in world.client(ResourceManagementClient).resource_groups.list()]


def make_group(world: World, name: str = GROUP) -> None:
    world.client(ResourceManagementClient).resource_groups.create_or_update(name, {"location": LOCATION})


def deleted_vaults(world: World) -> list[str]:
    return [str(vault.name) for vault in world.client(KeyVaultManagementClient).vaults.list_deleted()]


def make_vault_with_policy(world: World, group: str = GROUP) -> None:
    """A vault with an access policy of somebody else."""
    make_group(world, group)
    policy = {"tenantId": TENANT_ID, "objectId": SOMEBODY, "permissions": {"secrets": ["get", "list"], "keys": []}}
    properties = {
        "tenantId": TENANT_ID,
        "sku": {"family": "A", "name": "standard"},
        "enableRbacAuthorization": False,
        "accessPolicies": [policy],
    }
    body: Any = {"location": LOCATION, "properties": properties}
    world.client(KeyVaultManagementClient).vaults.begin_create_or_update(group, STACK.vault, body).result()


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


def test_a_vault_of_the_same_name_elsewhere_is_refused_and_asked_for_nothing(world: World, run: Run) -> None:
    make_vault_with_policy(world, "other-rg")
    error = run()
    assert (type(error), error.name) == (Conflict, f"vault {STACK.vault}")
    assert f"{STACK.vault}.vault.azure.net" not in world.cloud.requests.counts()["operator"]


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


def test_the_documented_roles_on_the_subscription_make_everything(run: Run, as_caller: Become) -> None:
    as_caller({"Contributor": SCOPE, ADMINISTRATOR: SCOPE})
    assert not isinstance(made := run(), KeyturnError), made
    assert made.verdict == "provisioned"
    assert run().verdict == "unchanged"


def test_the_documented_roles_on_a_group_that_exists_make_everything(world: World, run: Run, as_caller: Become) -> None:
    make_group(world)
    as_caller({"Contributor": IN_GROUP, ADMINISTRATOR: IN_GROUP})
    assert not isinstance(made := run(), KeyturnError), made
    assert made.verdict == "provisioned"
    assert run().verdict == "unchanged"


def test_without_the_right_to_assign_roles_nothing_is_made(world: World, run: Run, as_caller: Become) -> None:
    as_caller({"Contributor": SCOPE})
    for dry_run in (True, False):
        error = run(dry_run)
        assert (type(error), error.code, error.name) == (AccessDenied, "AzureRightsMissing", "the subscription")
        assert "Microsoft.Authorization/roleAssignments/write" in error.seen
        assert ADMINISTRATOR in error.seen
        assert "Microsoft.KeyVault" not in error.seen
    assert groups(world) == []


def test_who_may_make_nothing_is_told_all_that_is_missing_in_the_group(
    world: World, run: Run, as_caller: Become
) -> None:
    make_group(world)
    as_caller({"Reader": SCOPE, "Network Contributor": IN_GROUP})
    error = run()
    assert (type(error), error.code, error.name) == (AccessDenied, "AzureRightsMissing", f"the resource group {GROUP}")
    for action in ("KeyVault/vaults", "Compute/virtualMachines", "DBforPostgreSQL/flexibleServers"):
        assert f"Microsoft.{action}/write" in error.seen
    assert "Microsoft.Network" not in error.seen
    assert list(world.client(ResourceManagementClient).resources.list_by_resource_group(GROUP)) == []


def test_the_documented_roles_remove_everything(world: World, run: Run, remove: Run, as_caller: Become) -> None:
    run()
    as_caller({"Contributor": IN_GROUP, "Reader": SCOPE, "Key Vault Purge Operator": SCOPE})
    assert remove().message.startswith("walkthrough: removed")
    assert (groups(world), deleted_vaults(world)) == ([], [])
    assert remove().message.startswith("walkthrough: unchanged")


@pytest.mark.parametrize(
    ("roles", "action"),
    [
        ({"Contributor": IN_GROUP, "Key Vault Contributor": SCOPE, "Reader": SCOPE}, "deletedVaults/purge/action"),
        ({"Reader": SCOPE, "Key Vault Purge Operator": SCOPE}, "resourceGroups/delete"),
    ],
    ids=["no right to purge", "no right to delete"],
)
def test_a_tear_down_that_could_not_end_removes_nothing(
    world: World, run: Run, remove: Run, as_caller: Become, roles: Mapping[str, str], action: str
) -> None:
    make_vault_with_policy(world)
    as_caller(roles)
    error = remove().data
    assert (type(error), error.code) == (AccessDenied, "AzureRightsMissing")
    assert action in error.seen
    assert world.vaults.find(STACK.vault) is not None
    assert groups(world) == [GROUP]


def test_what_the_region_does_not_offer_is_refused_before_anything_is_made(world: World, run: Run) -> None:
    sizes = {"server_size": "Standard_B9ms", "machine_size": "Standard_Z1", "node_size": "Standard_D3s_v5"}
    error = run(server_version="12", **sizes)
    assert (type(error), error.code) == (InvalidInput, "NotOffered")
    assert set(error.name.split(", ")) == {"server_version", *sizes}
    assert "server_version is 12, eastus2 offers 14, 15, 16, 17, 18" in error.seen
    assert "Standard_D32s_v5" in error.seen
    assert groups(world) == []


def test_everything_that_keeps_a_plan_from_being_made_is_said_at_once(run: Run, as_caller: Become) -> None:
    as_caller({"Contributor": SCOPE})
    error = run(server_version="12")
    assert (type(error), error.code) == (Refused, "PlanBlocked")
    assert [error.cause.code, error.cause.cause.code] == ["AzureRightsMissing", "NotOffered"]


def registered(world: World) -> set[str]:
    providers = world.client(ResourceManagementClient).providers.list()
    return {str(provider.namespace) for provider in providers if provider.registration_state == "Registered"}


def test_in_a_new_subscription_the_providers_are_registered_by_provision_and_not_by_its_dry_run(
    new: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(new, monkeypatch, {"Contributor": SCOPE, ADMINISTRATOR: SCOPE})
    before = registered(new)
    assert "Microsoft.KeyVault" not in before
    planned = provisioned(dry_run=True)
    assert not isinstance(planned, KeyturnError), planned
    assert registered(new) == before
    assert provisioned().verdict == "provisioned"
    assert {"Microsoft.KeyVault", "Microsoft.Compute", "Microsoft.DBforPostgreSQL"} <= registered(new)
    assert provisioned().verdict == "unchanged"


def test_providers_that_the_caller_may_not_register_are_named_all_at_once(
    new: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(new, monkeypatch, {"Reader": SCOPE, "Contributor": IN_GROUP, ADMINISTRATOR: IN_GROUP})
    error = provisioned()
    assert (type(error), error.code) == (AccessDenied, "ProvidersUnregistered")
    for name in ("Compute", "ContainerService", "DBforPostgreSQL", "KeyVault", "ManagedIdentity", "Network", "Storage"):
        assert f"Microsoft.{name}" in error.name
    assert list(new.client(ResourceManagementClient).resources.list_by_resource_group(GROUP)) == []
