"""What would keep a plan from ending well: providers, rights, what a region offers. Kinds are scripted: no Azure."""

from collections.abc import Callable
from typing import Any

import pytest

from infra.errors import AccessDenied, InvalidInput, KeyturnError, NotFound, Refused
from infra.provisioning.changes import ProvisioningPlan, ResourceChange, Verb
from infra.provisioning.checks import Catalogue, Right, block, find_unsupported, list_rights, refuse_rights
from infra.provisioning.comparing import Difference, Resource
from infra.provisioning.kinds import Found, Kind, OnProgress, State, ignore
from infra.provisioning.resources import (
    Blob,
    DatabaseServer,
    Machine,
    ManagedCluster,
    ResourceGroup,
    ResourceProvider,
    Vault,
)
from tasks.provisioning.checks import find_unregistered

GROUP, VAULT, BLOB = ResourceGroup(name="g", location="x"), Vault(name="v"), Blob(name="b", parent="a/c")
SERVER = DatabaseServer(name="s", version="12", size="Standard_B9ms")
MACHINE, CLUSTER = Machine(name="m", size="Standard_Z1"), ManagedCluster(name="c", node_size="Standard_Z2")
OFFERED = Catalogue(("16", "17"), ("Standard_B1ms", "Standard_B2s"), ("Standard_D2s_v5",))
WHERE = {True: "the subscription", False: "the group"}


class Scripted(Kind[Any]):
    """A kind that finds what it is told to, by name."""

    def __init__(self, resource: type[Resource], action: str = "", found: dict[str, Found] | None = None) -> None:
        self.resource, self.action, self.role = resource, action, "Contributor"  # type: ignore[misc]
        self.unique_in_azure = True  # type: ignore[misc]
        self.found = found or {}

    def find(self, wanted: Resource) -> Found | None:
        return self.found.get(wanted.name)

    def put(self, wanted: Resource, on_progress: OnProgress = ignore) -> None:
        raise NotImplementedError


def kinds(providers: dict[str, Found] | None = None) -> Any:
    return {
        ResourceProvider: Scripted(ResourceProvider, found=providers),
        ResourceGroup: Scripted(ResourceGroup, "Microsoft.Resources/subscriptions/resourceGroups/write"),
        Vault: Scripted(Vault, "Microsoft.KeyVault/vaults/write"),
        Blob: Scripted(Blob),
        Machine: Scripted(Machine, "Microsoft.Compute/virtualMachines/write"),
    }


def plan(*resources: Resource, verb: Verb = Verb.CREATE, differences: tuple[Difference, ...] = ()) -> ProvisioningPlan:
    return ProvisioningPlan(tuple(ResourceChange(resource, verb, differences) for resource in resources))


def provider(name: str, state: State = State.READY) -> dict[str, Found]:
    return {name: Found(ResourceProvider(name=name), state)}


def test_providers_are_those_of_what_is_wanted_and_not_registered_yet() -> None:
    wanted = [GROUP, VAULT, BLOB, MACHINE]
    missing = find_unregistered(kinds(provider("Microsoft.KeyVault")), wanted)
    assert [each.name for each in missing] == ["Microsoft.Compute"]
    assert find_unregistered(kinds(), [GROUP, BLOB]) == []


def test_providers_are_registered_before_anything_is_made() -> None:
    changed = plan(GROUP, VAULT).behind([ResourceProvider(name="Microsoft.KeyVault")])
    assert [change.resource.key for change in changed.changes] == [
        "resource provider Microsoft.KeyVault",
        "resource group g",
        "vault v",
    ]
    assert {change.after for change in changed.changes[1:]} == {("resource provider Microsoft.KeyVault",)}


def test_rights_are_those_of_what_is_left_to_make_by_scope() -> None:
    rights = list_rights(plan(ResourceProvider(name="Microsoft.Compute"), GROUP, VAULT, BLOB), kinds())
    assert [(right.action, right.in_subscription) for right in rights] == [
        ("Microsoft.Compute/register/action", True),
        ("Microsoft.Resources/subscriptions/resourceGroups/write", True),
        ("Microsoft.KeyVault/vaults/write", False),
    ]
    assert list_rights(plan(GROUP, VAULT, verb=Verb.LEAVE), kinds()) == ()


def test_providers_that_the_caller_may_not_register_are_named_in_one_error() -> None:
    denied = [
        Right(f"{name}/register/action", "Contributor", True) for name in ("Microsoft.Compute", "Microsoft.KeyVault")
    ]
    [error] = refuse_rights(denied, WHERE)
    assert (type(error), error.code) == (AccessDenied, "ProvidersUnregistered")
    assert error.name == "Microsoft.Compute, Microsoft.KeyVault"
    assert "az provider register" in error.fix


def test_rights_that_are_missing_are_named_with_scope_and_role() -> None:
    [error] = refuse_rights([Right("a/write", "Contributor"), Right("b/write", "Reader", True)], WHERE)
    assert (type(error), error.code) == (AccessDenied, "AzureRightsMissing")
    assert error.name == "the group, the subscription"
    assert "a/write, b/write" in error.seen
    assert "Contributor, Reader" in error.seen


def test_everything_that_a_region_does_not_offer_is_named_with_what_it_offers() -> None:
    error = find_unsupported(plan(SERVER, MACHINE, CLUSTER), OFFERED, "eastus2")
    assert type(error) is InvalidInput
    assert (error.code, error.name) == ("NotOffered", "server_version, server_size, machine_size, node_size")
    assert "server_version is 12, eastus2 offers 16, 17" in error.seen
    assert "server_size is Standard_B9ms, eastus2 offers Standard_B1ms, Standard_B2s" in error.seen
    assert "node_size is Standard_Z2, eastus2 offers Standard_D2s_v5" in error.seen


def test_of_many_sizes_those_that_are_written_alike_are_named() -> None:
    sizes = [f"Standard_D{number}s_v5" for number in range(40)]
    error = find_unsupported(plan(Machine(name="m", size="Standard_D32_v5")), Catalogue(machine_sizes=sizes), "x")
    assert error is not None
    assert "Standard_D32s_v5" in error.seen
    assert "Standard_D0s_v5" not in error.seen
    assert "and 32 others" in error.seen


@pytest.mark.parametrize("verb", [Verb.LEAVE, Verb.WAIT, Verb.RECOVER])
def test_what_exists_may_have_what_is_no_longer_offered(verb: Verb) -> None:
    assert find_unsupported(plan(SERVER, MACHINE, CLUSTER, verb=verb), OFFERED, "x") is None


def test_of_a_server_that_is_changed_only_a_new_size_is_checked() -> None:
    resized = plan(SERVER, verb=Verb.CHANGE, differences=(Difference("size", SERVER.size, "Standard_B1ms"),))
    error = find_unsupported(resized, OFFERED, "x")
    assert error is not None
    assert error.name == "server_size"


def test_a_new_server_gets_a_version_of_its_own_choice_only_if_it_is_offered() -> None:
    server = DatabaseServer(name="s", size="Standard_B2s")
    assert find_unsupported(plan(server), OFFERED, "x") is None
    error = find_unsupported(plan(server), Catalogue(("18",)), "x")
    assert error is not None
    assert "server_version is 17, x offers 18" in error.seen


def test_what_the_caller_may_not_see_is_not_checked() -> None:
    assert find_unsupported(plan(SERVER, MACHINE, CLUSTER), Catalogue(), "x") is None


def test_sizes_do_not_count_case() -> None:
    machine = Machine(name="m", size="standard_d2S_V5")
    assert find_unsupported(plan(machine), OFFERED, "x") is None


@pytest.mark.parametrize("make", [lambda what: NotFound(what, name="n"), lambda what: InvalidInput(what, name="n")])
def test_more_than_one_error_becomes_one_with_all_of_them_as_causes(make: Callable[[str], KeyturnError]) -> None:
    first, second = make("first"), make("second")
    assert block([], "g") is None
    assert block([first], "g") is first
    error = block([first, second], "g")
    assert isinstance(error, Refused)
    assert (error.code, error.name, error.seen) == ("PlanBlocked", "g", "2 causes")
    assert error.cause is not None
    assert error.cause.cause is not None
    assert [error.cause.what, error.cause.cause.what] == ["first", "second"]
    assert type(error.cause) is type(first)
