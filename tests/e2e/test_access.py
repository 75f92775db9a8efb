"""Who can read what, as the flow proves it: by the identities alone, and by name where a right is missing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.verify_access import verify_access
from infra.azure import identities, machines, roles
from infra.azure.finding import as_assignment
from infra.errors import AccessDenied, AuthenticationFailed, KeyturnError, NotFound
from infra.kubernetes.workloads import get_workload
from infra.provisioning.resources import FederatedCredential, Machine, RoleAssignment, StorageAccount, Vault
from infra.provisioning.stack import BLOB_READER, SECRETS_USER
from infra.settings import Settings
from infra.targets import AccessOptions, AccessRows, Stack
from tasks.access import Proof
from tasks.deployment import STORAGE
from testing.rotating import STACK, World

VAULT_KEY, ACCOUNT_KEY = f"{Vault.KIND} {STACK.vault}", f"{StorageAccount.KIND} {STACK.storage_account}"
MACHINE, POD = AccessRows.MACHINE, AccessRows.POD


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is new in these tests: what is refused, is refused."""
    monkeypatch.setenv("KEYTURN_PROPAGATION_TIMEOUT_SECONDS", "2")


def run(rows: AccessRows, stack: Stack = STACK) -> State[Any]:
    return verify_access(stack, AccessOptions(rows=rows), return_state=True)


def refused(rows: AccessRows, stack: Stack = STACK) -> KeyturnError:
    error = run(rows, stack).result(raise_on_failure=False)
    assert isinstance(error, KeyturnError), error
    return error


def get_principal(rows: AccessRows) -> str:
    """The object id of the machine or of the pods."""
    if rows is MACHINE:
        return machines.get_machine(STACK.virtual_machine, STACK.resource_group, Settings()).principal_id
    return identities.get_identity(STACK.identity, STACK.resource_group, Settings()).principal_id


@contextmanager
def without_role(role: str, scope: str, principal_id: str) -> Iterator[None]:
    """Take a role away for a block."""
    wanted = RoleAssignment(name=role, scope=scope, principal=Machine.KIND)
    assignment = as_assignment(wanted, principal_id, STACK.resource_group, Settings())
    roles.unassign(assignment, Settings())
    try:
        yield
    finally:
        assert roles.assign(assignment, Settings()), "it had been taken away"


@pytest.fixture
def trusted(world: World) -> Iterator[FederatedCredential]:
    """The federated credential; as it was afterwards."""
    found = identities.find_federated(STACK.federated_credential, STACK.identity, STACK.resource_group, Settings())
    assert found
    assert isinstance(found.resource, FederatedCredential)
    yield found.resource
    identities.put_federated(found.resource, STACK.resource_group, Settings())


def forget_tokens(world: World) -> None:
    """Replace get-storage's pod, which keeps its token for an hour, and wait for the new one."""
    pods = get_workload(world.cluster, STACK.namespace, STORAGE).pods
    for pod in pods:
        world.cluster.delete(f"/api/v1/namespaces/{STACK.namespace}/pods/{pod.name}")
    pause, old = threading.Event(), {pod.uid for pod in pods}
    for _ in range(600):
        if any(pod.ready and pod.uid not in old for pod in get_workload(world.cluster, STACK.namespace, STORAGE).pods):
            return
        pause.wait(0.05)
    pytest.fail("no new pod of get-storage within 30 s")


@pytest.mark.parametrize(
    ("rows", "proven"),
    [(AccessRows.ALL, ["S1", "S2", "S15"]), (MACHINE, ["S1", "S2"]), (POD, ["S15"])],
)
def test_the_rows_that_are_asked_for_are_proven(world: World, rows: AccessRows, proven: list[str]) -> None:
    state = run(rows)
    assert state.name == "Verified", state.message
    proofs = state.result()
    assert all(isinstance(one, Proof) for one in proofs)
    assert [one.row for one in proofs] == proven
    seen = {one.row: one.seen for one in proofs}
    assert seen.get("S1", world.values()[0]) == world.values()[0]
    assert seen.get("S2", "This is a Demo File.") == "This is a Demo File."
    assert "This is a Demo File." in seen.get("S15", "This is a Demo File.")


@pytest.mark.parametrize(
    ("rows", "role", "scope"),
    [(MACHINE, SECRETS_USER, VAULT_KEY), (MACHINE, BLOB_READER, ACCOUNT_KEY), (POD, BLOB_READER, ACCOUNT_KEY)],
    ids=["S1", "S2", "S15"],
)
def test_a_missing_role_is_named_with_scope_and_principal(
    world: World, rows: AccessRows, role: str, scope: str
) -> None:
    principal_id = get_principal(rows)
    with without_role(role, scope, principal_id):
        error = refused(rows)
    assert type(error) is AccessDenied
    assert f"assign the role {role} on the {scope} to {principal_id}" in error.fix
    assert error.code in ("ForbiddenByRbac", "Forbidden", "AuthorizationPermissionMismatch")
    assert run(rows).name == "Verified"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("subject", "system:serviceaccount:dexter:another", "AADSTS700213"),
        ("issuer", "https://issuer.example/", "AADSTS700211"),
        ("audience", "api://another", "AADSTS700212"),
    ],
)
def test_a_federated_credential_that_is_wrong_is_said_to_be(
    world: World, trusted: FederatedCredential, field: str, value: str, code: str
) -> None:
    identities.put_federated(replace(trusted, **{field: value}), STACK.resource_group, Settings())
    forget_tokens(world)
    error = refused(POD)
    assert type(error) is AuthenticationFailed
    assert error.code == code
    assert f"its {field} is {value}, not {getattr(trusted, field)}" in error.seen
    assert "id-aks-uai/aksfederatedidentity" in error.fix
    identities.put_federated(trusted, STACK.resource_group, Settings())
    assert run(POD).name == "Verified"


def test_a_blob_that_does_not_exist_is_named(world: World) -> None:
    error = refused(POD, STACK.model_copy(update={"blob": "nosuch.txt"}))
    assert type(error) is NotFound
    assert f"{STACK.storage_account}/{STACK.container}/nosuch.txt" in error.name


def test_a_machine_that_does_not_exist_is_named(world: World) -> None:
    error = refused(MACHINE, STACK.model_copy(update={"virtual_machine": "NoSuchMachine"}))
    assert type(error) is NotFound
    assert "NoSuchMachine" in str(error)
