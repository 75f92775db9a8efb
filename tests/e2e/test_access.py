"""Who can read what, as the flow proves it: by the identities alone, and by name where a right is missing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from changed_stacks import ChangeStack
from prefect.client.schemas.objects import State
from reports import verdict

from flows.verify_access import verify_access
from infra.azure.client import Azure
from infra.azure.identities import FederatedCredentials, Identities
from infra.azure.machines import Machines
from infra.azure.roles import RoleAssignments
from infra.errors import AccessDenied, AuthenticationFailed, KeyturnError, NotFound
from infra.kubernetes.workloads import open_workload
from infra.provisioning.options import AccessRows
from infra.provisioning.resources import FederatedCredential, Identity, Machine, RoleAssignment
from infra.provisioning.wanted import federation, read_rights
from infra.settings import Settings
from tasks.provisioning.access import Proof
from testing import bare
from testing.rotating import STACK, World

pytestmark = pytest.mark.owner

STORAGE = STACK.storage_workload
OF_MACHINE = read_rights(STACK, Machine(name=STACK.virtual_machine))
OF_PODS = read_rights(STACK, Identity(name=STACK.identity))
MACHINE, POD = AccessRows.MACHINE, AccessRows.POD


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is new in these tests: what is refused, is refused."""
    monkeypatch.setenv("KEYTURN_PROPAGATION_TIMEOUT_SECONDS", "2")


@pytest.fixture
def azure(world: World) -> Iterator[Azure]:
    with Azure(Settings()) as azure:
        yield azure


def run(rows: AccessRows) -> State[Any]:
    return bare.run(verify_access, STACK.name, rows)


def is_verified(state: State[Any]) -> bool:
    return (state.name, verdict(state)) == ("Completed", "verified")


def refused(rows: AccessRows) -> KeyturnError:
    error = run(rows).data
    assert isinstance(error, KeyturnError), error
    return error


def get_principal(azure: Azure, rows: AccessRows) -> str:
    """The object id of the machine or of the pods."""
    if rows is MACHINE:
        return Machines(azure, STACK.resource_group).get(STACK.virtual_machine).principal_id
    return Identities(azure, STACK.resource_group).get(STACK.identity).principal_id


@contextmanager
def without_role(azure: Azure, needed: RoleAssignment, principal_id: str) -> Iterator[None]:
    """Take a role away for a block."""
    kind = RoleAssignments(azure, STACK.resource_group)
    scope = azure.resource_id(STACK.resource_group, needed.scope.TYPE, needed.scope.name)
    with azure.management(kind.open_client) as client:
        for found in client.role_assignments.list_for_scope(scope, filter=f"principalId eq '{principal_id}'"):
            client.role_assignments.delete_by_id(found.id)
    assert kind.find(needed) is None
    try:
        yield
    finally:
        kind.put(needed)


@pytest.fixture
def trusted(azure: Azure) -> Iterator[FederatedCredential]:
    """The federated credential; as it was afterwards."""
    kind = FederatedCredentials(azure, STACK.resource_group)
    found = kind.find(federation(STACK))
    assert found
    assert isinstance(found.resource, FederatedCredential)
    yield found.resource
    kind.put(found.resource)


def forget_tokens(world: World) -> None:
    """Replace get-storage's pod, which keeps its token for an hour, and wait for the new one."""
    pods = open_workload(world.cluster, STACK.storage).get().pods
    for pod in pods:
        world.cluster.delete(f"/api/v1/namespaces/{STACK.namespace}/pods/{pod.name}")
    pause, old = threading.Event(), {pod.uid for pod in pods}
    for _ in range(600):
        if any(pod.ready and pod.uid not in old for pod in open_workload(world.cluster, STACK.storage).get().pods):
            return
        pause.wait(0.05)
    pytest.fail("no new pod of get-storage within 30 s")


@pytest.mark.parametrize(
    ("rows", "proven"),
    [(AccessRows.ALL, ["S1", "S2", "S15"]), (MACHINE, ["S1", "S2"]), (POD, ["S15"])],
)
def test_the_rows_that_are_asked_for_are_proven(world: World, rows: AccessRows, proven: list[str]) -> None:
    state = verify_access(STACK.name, rows, return_state=True) if rows is AccessRows.ALL else run(rows)
    assert is_verified(state), state.message
    proofs = state.result() if rows is AccessRows.ALL else state.data
    assert all(isinstance(proof, Proof) for proof in proofs)
    assert [proof.row for proof in proofs] == proven
    seen = {proof.row: proof.seen for proof in proofs}
    assert seen.get("S1", world.values()[0]) == world.values()[0]
    assert seen.get("S2", "This is a Demo File.") == "This is a Demo File."
    assert "This is a Demo File." in seen.get("S15", "This is a Demo File.")


@pytest.mark.parametrize(
    ("rows", "needed"),
    [(MACHINE, OF_MACHINE[0]), (MACHINE, OF_MACHINE[1]), (POD, OF_PODS[-1])],
    ids=["S1", "S2", "S15"],
)
def test_a_missing_role_is_named_with_scope_and_principal(
    azure: Azure, rows: AccessRows, needed: RoleAssignment
) -> None:
    principal_id = get_principal(azure, rows)
    with without_role(azure, needed, principal_id):
        error = refused(rows)
    assert type(error) is AccessDenied
    assert f"Assign the role {needed.name} on the {needed.scope.key} to {principal_id}" in error.fix
    assert error.code in ("ForbiddenByRbac", "Forbidden", "AuthorizationPermissionMismatch")
    assert is_verified(run(rows))


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("subject", "system:serviceaccount:dexter:another", "AADSTS700213"),
        ("issuer", "https://issuer.example/", "AADSTS700211"),
        ("audience", "api://another", "AADSTS700212"),
    ],
)
def test_a_federated_credential_that_is_wrong_is_said_to_be(
    world: World, azure: Azure, trusted: FederatedCredential, field: str, value: str, code: str
) -> None:
    kind = FederatedCredentials(azure, STACK.resource_group)
    kind.put(replace(trusted, **{field: value}))
    forget_tokens(world)
    error = refused(POD)
    assert type(error) is AuthenticationFailed
    assert error.code == code
    assert f"its {field} is {value}, not {getattr(trusted, field)}" in error.seen
    assert "id-aks-uai/aksfederatedidentity" in error.fix
    kind.put(trusted)
    assert is_verified(run(POD))


def test_a_blob_that_does_not_exist_is_named(world: World, changed: ChangeStack) -> None:
    changed(blob="nosuch.txt")
    error = refused(POD)
    assert type(error) is NotFound
    assert f"{STACK.storage_account}/{STACK.container}/nosuch.txt" in error.name


def test_a_machine_that_does_not_exist_is_named(world: World, changed: ChangeStack) -> None:
    changed(virtual_machine="NoSuchMachine")
    error = refused(MACHINE)
    assert type(error) is NotFound
    assert "NoSuchMachine" in str(error)
