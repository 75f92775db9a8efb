"""ARM paths, bodies and names, without a server."""

import pytest

from lab.azure.arm import ids, names
from lab.azure.arm.bodies import dig, merge, without
from lab.azure.arm.errors import ArmError

MACHINE = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm"


def test_a_resource_path_is_taken_apart_and_put_together():
    path = ids.parse(MACHINE)
    assert (path.subscription, path.group, path.type, path.name) == (
        "s",
        "rg",
        "Microsoft.Compute/virtualMachines",
        "vm",
    )
    assert str(path) == MACHINE
    assert not path.is_collection


def test_a_nested_path_knows_its_owner():
    path = ids.parse(f"{MACHINE}/extensions/one")
    assert path.type == "Microsoft.Compute/virtualMachines/extensions"
    assert str(path.owner) == MACHINE


def test_an_action_belongs_to_its_resource():
    path = ids.parse(f"{MACHINE}/runCommand")
    assert (path.is_collection, path.last, str(path.owner)) == (True, "runCommand", MACHINE)
    assert str(path) == f"{MACHINE}/runCommand"


def test_an_extension_has_the_whole_resource_as_its_scope():
    path = ids.parse(f"{MACHINE}/providers/Microsoft.Authorization/roleAssignments/n")
    assert (path.scope, path.type, path.name) == (MACHINE, "Microsoft.Authorization/roleAssignments", "n")
    assert path.group == "rg"


def test_groups_and_collections_have_paths_too():
    assert ids.parse("/subscriptions/s/RESOURCEGROUPS/rg").group == "rg"
    assert ids.parse("/subscriptions/s/resourceGroups").is_collection
    assert ids.parse("/subscriptions/s/providers/Microsoft.Compute").namespace == "Microsoft.Compute"
    assert str(ids.parse("/subscriptions")) == "/subscriptions"


def test_a_name_in_a_path_may_be_quoted():
    assert ids.parse("/subscriptions/s/resourceGroups/a%20b").name == "a b"


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        (MACHINE.upper(), MACHINE, True),
        (f"{MACHINE}/extensions/one", MACHINE, True),
        (f"{MACHINE}2", MACHINE, False),
        (MACHINE, "/", True),
        ("/subscriptions/s", MACHINE, False),
    ],
)
def test_being_within_a_scope_is_about_whole_segments_and_no_case(inner, outer, expected):
    assert ids.is_within(inner, outer) is expected


def test_a_patch_changes_members_and_null_deletes():
    old = {"a": {"b": 1, "c": 2}, "d": [1], "e": 1}
    assert merge(old, {"a": {"b": 3}, "d": [2], "e": None}) == {"a": {"b": 3, "c": 2}, "d": [2]}
    assert old == {"a": {"b": 1, "c": 2}, "d": [1], "e": 1}


def test_write_only_members_are_left_out_at_any_depth():
    body = {"properties": {"osProfile": {"adminPassword": "x", "adminUsername": "u"}, "list": [{"adminPassword": "y"}]}}
    assert without(body, ("adminPassword",)) == {"properties": {"osProfile": {"adminUsername": "u"}, "list": [{}]}}


def test_digging_stops_at_what_is_absent_or_null():
    assert dig({"a": {"b": 0}}, "a.b") == 0
    assert dig({"a": None}, "a.b", "none") == "none"
    assert dig({"a": []}, "a.b") is None


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (names.VAULT_NAME, ["abc", "dexterkeyvault", "a-b-c", "A1b"], ["ab", "1abc", "a--b", "ab-", "a" * 25, "a_b"]),
        (names.ACCOUNT_NAME, ["abc", "a1" * 12], ["ab", "Abc", "a-b", "a" * 25]),
        (names.IDENTITY_NAME, ["id-aks-uai", "a_b"], ["ab", "-abc", "a.b", "a" * 129]),
        (names.CLUSTER_NAME, ["a", "integrateakskv-cluster"], ["", "-a", "a-", "a" * 64, "a.b"]),
        (names.SERVER_NAME, ["abc", "sonarqube-postgresql3"], ["ab", "Abc", "-abc", "abc-", "a" * 64]),
        (names.NETWORK_NAME, ["a", "vnet_1.a", "a" * 80], ["", "-a", "a-", "a" * 81]),
        (names.MACHINE_NAME, ["AzureVM-Server"], ["a b", "-a", "a" * 65]),
        (names.CONTAINER_NAME, ["dexter", "a-b"], ["ab", "A" * 5, "a--b", "-ab"]),
        (names.POOL_NAME, ["nodepool1"], ["1pool", "Pool", "a" * 13]),
    ],
)
def test_names_are_checked_as_azure_does(rule, good, bad):
    for name in good:
        rule.check(name)
    for name in bad:
        with pytest.raises(ArmError) as caught:
            rule.check(name)
        assert (caught.value.status, caught.value.code) == (400, rule.code)


def test_a_regions_long_name_is_the_short_one():
    names.check_region("East US 2", "any")
    assert names.normalise_region("East US 2") == "eastus2"
    with pytest.raises(ArmError) as caught:
        names.check_region("", "any")
    assert caught.value.code == "LocationRequired"
