"""What is found of a stack and made of it, by kinds that a test scripts: no Azure."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.errors import AccessDenied, CannotChange, KeyturnError, NotFound, NotYetPropagated, ServiceFailed
from infra.provisioning.changes import Verb
from infra.provisioning.comparing import Resource
from infra.provisioning.kinds import Found, Kind, OnProgress, State, ignore
from infra.provisioning.reconciling import find_all, make, wait_until_settled
from infra.provisioning.resources import (
    Blob,
    Identity,
    ResourceGroup,
    RoleAssignment,
    SecurityGroup,
    StorageAccount,
    Vault,
    VaultSecret,
)

GROUP, VAULT = ResourceGroup(name="g", location="x"), Vault(name="v", location="x")
SECRET = VaultSecret(name="s", parent="v")
ROLE = RoleAssignment(name="Reader", scope=VAULT, principal=None)
DENIED = AccessDenied("Cannot read the secret", name="v/s", seen="no right", code="ForbiddenByRbac")
UNREACHABLE = NotFound("Cannot read the secret", name="v/s", code="HostNotFound")


class Scripted(Kind[Any]):
    """A kind that finds what it is told to, and keeps what it was asked for."""

    def __init__(self, resource: type[Resource], **flags: bool) -> None:
        self.resource = resource  # type: ignore[misc]
        self.found: Found | KeyturnError | None = None
        self.trouble: KeyturnError | None = None
        self.asked: list[str] = []
        for name, value in flags.items():
            setattr(self, name, value)

    def find(self, wanted: Resource) -> Found | None:
        self.asked.append("find")
        if isinstance(self.found, KeyturnError):
            raise self.found
        return self.found

    def put(self, wanted: Resource, on_progress: OnProgress = ignore) -> None:
        self.asked.append("put")
        if self.trouble:
            raise self.trouble

    def recover(self, wanted: Resource, on_progress: OnProgress = ignore) -> None:
        self.asked.append("recover")


@pytest.fixture
def kinds() -> dict[type[Resource], Scripted]:
    return {
        ResourceGroup: Scripted(ResourceGroup),
        SecurityGroup: Scripted(SecurityGroup),
        Vault: Scripted(Vault, unique_in_azure=True),
        VaultSecret: Scripted(VaultSecret, on_data_plane=True),
        RoleAssignment: Scripted(RoleAssignment),
    }


def test_without_the_group_only_names_that_may_be_taken_are_looked_at(kinds: Any) -> None:
    assert find_all(kinds, [GROUP, SecurityGroup(name="n"), VAULT, SECRET]) == {}
    asked = {kind.resource.KIND for kind in kinds.values() if kind.asked}
    assert asked == {"resource group", "vault"}


@pytest.mark.parametrize("error", [DENIED, UNREACHABLE])
def test_what_cannot_be_seen_yet_is_hidden_and_is_made_all_the_same(kinds: Any, error: KeyturnError) -> None:
    kinds[ResourceGroup].found, kinds[Vault].found, kinds[VaultSecret].found = Found(GROUP), Found(VAULT), error
    assert find_all(kinds, [GROUP, VAULT, SECRET])[SECRET.key].state is State.HIDDEN
    assert make(kinds, SECRET, ignore) is Verb.CREATE


def test_a_denial_by_azure_itself_is_an_error(kinds: Any) -> None:
    kinds[ResourceGroup].found = DENIED
    with pytest.raises(AccessDenied):
        find_all(kinds, [GROUP])


def test_in_a_deleted_vault_secrets_are_hidden_and_roles_are_gone(kinds: Any) -> None:
    kinds[ResourceGroup].found, kinds[Vault].found = Found(GROUP), Found(VAULT, State.DELETED)
    found = find_all(kinds, [GROUP, VAULT, SECRET, ROLE])
    assert found[SECRET.key] == Found(None, State.HIDDEN, "seen when the vault v is recovered")
    assert ROLE.key not in found
    assert kinds[RoleAssignment].asked == []


@pytest.mark.parametrize("error", [DENIED, UNREACHABLE])
def test_a_data_plane_that_does_not_know_a_new_role_or_name_yet_is_tried_again(kinds: Any, error: KeyturnError) -> None:
    kinds[VaultSecret].trouble = error
    with pytest.raises(NotYetPropagated) as caught:
        make(kinds, SECRET, ignore)
    assert (caught.value.what, caught.value.code) == (error.what, error.code)


def test_a_management_denial_is_not_tried_again(kinds: Any) -> None:
    kinds[Vault].trouble = DENIED
    with pytest.raises(AccessDenied):
        make(kinds, VAULT, ignore)


@pytest.mark.parametrize(
    ("found", "verb", "asked"),
    [
        (None, Verb.CREATE, ["find", "put"]),
        (Found(VAULT), Verb.LEAVE, ["find"]),
        (Found(VAULT, State.FAILED), Verb.CHANGE, ["find", "put"]),
        (Found(VAULT, State.DELETED), Verb.RECOVER, ["find", "recover"]),
        (Found(Vault(name="v", location="x", rbac=False)), Verb.CHANGE, ["find", "put"]),
    ],
)
def test_a_resource_is_made_from_whatever_state_it_is_in(
    kinds: Any, found: Found | None, verb: Verb, asked: list[str]
) -> None:
    kinds[Vault].found = found
    assert make(kinds, VAULT, ignore) is verb
    assert kinds[Vault].asked == asked


def test_what_cannot_be_changed_in_place_is_refused_and_left(kinds: Any) -> None:
    kinds[Vault].found = Found(Vault(name="v", location="elsewhere"))
    with pytest.raises(CannotChange, match="location is elsewhere, wanted x"):
        make(kinds, VAULT, ignore)
    assert kinds[Vault].asked == ["find"]


def states(*said: State) -> Iterator[Found]:
    return iter([Found(VAULT, state, str(state)) for state in said])


def test_an_operation_of_an_earlier_run_is_waited_for_with_progress() -> None:
    looks, told, pauses = states(State.BUSY, State.BUSY, State.READY), list[str](), list[float]()
    found = wait_until_settled(lambda: next(looks), VAULT.key, told.append, pause=pauses.append)
    assert found is not None
    assert found.state is State.READY
    assert len(told) == len(pauses) == 2


def test_an_operation_that_does_not_end_is_an_error_with_its_last_state() -> None:
    with pytest.raises(ServiceFailed) as caught:
        wait_until_settled(lambda: Found(VAULT, State.BUSY, "Updating"), VAULT.key, ignore, timeout_seconds=0)
    assert (caught.value.code, caught.value.name) == ("OperationTimedOut", VAULT.key)
    assert caught.value.seen.startswith("Updating")


@pytest.mark.parametrize(
    ("resource", "key"),
    [
        (SECRET, "vault v"),
        (Blob(name="b", parent="account/container"), "storage account account"),
        (ROLE, "vault v"),
        (Identity(name="i"), ""),
        (StorageAccount(name="a"), ""),
    ],
)
def test_a_nested_resource_knows_its_parent(resource: Resource, key: str) -> None:
    assert resource.parent_key == key
