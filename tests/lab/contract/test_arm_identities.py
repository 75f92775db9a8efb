"""User-assigned identities, their federated credentials, and role assignments, through the real clients."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from arm_world import LOCATION, SCOPE, World
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient

from lab.control.options import TENANT_ID

IDENTITY, CREDENTIAL = "id-aks-uai", "aksfederatedidentity"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
WRITERS, ROUNDS = 4, 50
"""A busy machine may let one writer end before the next begins, so they try again until two have met."""


def trust(subject="system:serviceaccount:dexter:dexter-sa", **changes):
    issuer = f"https://eastus2.oic.prod-aks.azure.com/{TENANT_ID}/1/"
    return {
        "properties": {"issuer": issuer, "subject": subject, "audiences": ["api://AzureADTokenExchange"], **changes}
    }


@pytest.fixture
def msi(world: World, group: str) -> ManagedServiceIdentityClient:
    return world.client(ManagedServiceIdentityClient)


@pytest.fixture
def identity(msi, group):
    return msi.user_assigned_identities.create_or_update(group, IDENTITY, {"location": LOCATION})


@pytest.fixture
def roles(world) -> AuthorizationManagementClient:
    return world.client(AuthorizationManagementClient)


def assign(roles, scope, principal_id, role=READER, name=None):
    definition = f"{SCOPE}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    given = {"roleDefinitionId": definition, "principalId": principal_id, "principalType": "ServicePrincipal"}
    return roles.role_assignments.create(scope, name or str(uuid.uuid4()), {"properties": given})


def test_an_identity_is_a_principal(world, identity, msi, group):
    principal = world.directory.by_resource_id(identity.id)
    assert (identity.client_id, identity.principal_id) == (principal.client_id, principal.object_id)
    assert identity.tenant_id == TENANT_ID
    again = msi.user_assigned_identities.create_or_update(group, IDENTITY.upper(), {"location": LOCATION})
    assert (again.client_id, again.name) == (identity.client_id, IDENTITY)
    msi.user_assigned_identities.delete(group, IDENTITY)
    assert world.directory.by_resource_id(identity.id) is None


def test_a_federated_credential_is_written_and_read(world, identity, msi, group):
    made = msi.federated_identity_credentials.create_or_update(group, IDENTITY, CREDENTIAL, trust())
    assert made.subject == "system:serviceaccount:dexter:dexter-sa"
    assert made.audiences == ["api://AzureADTokenExchange"]
    assert [item.name for item in msi.federated_identity_credentials.list(group, IDENTITY)] == [CREDENTIAL]
    [known] = world.directory.federated_credentials(identity.principal_id)
    assert known.issuer == made.issuer
    msi.federated_identity_credentials.delete(group, IDENTITY, CREDENTIAL)
    assert world.directory.federated_credentials(identity.principal_id) == []


def test_a_federated_credential_needs_its_identity(msi, group):
    with pytest.raises(ResourceNotFoundError) as caught:
        msi.federated_identity_credentials.create_or_update(group, "nobody", CREDENTIAL, trust())
    assert caught.value.error.code == "ParentResourceNotFound"


@pytest.mark.parametrize("missing", ["issuer", "subject", "audiences"])
def test_a_federated_credential_is_complete_or_refused(identity, msi, group, missing):
    with pytest.raises(HttpResponseError) as caught:
        msi.federated_identity_credentials.create_or_update(group, IDENTITY, CREDENTIAL, trust(**{missing: None}))
    assert (caught.value.status_code, caught.value.error.code) == (400, "BadRequest")
    assert list(msi.federated_identity_credentials.list(group, IDENTITY)) == []


def test_the_same_issuer_and_subject_is_accepted_once(identity, msi, group):
    msi.federated_identity_credentials.create_or_update(group, IDENTITY, CREDENTIAL, trust())
    with pytest.raises(ResourceExistsError) as caught:
        msi.federated_identity_credentials.create_or_update(group, IDENTITY, "another", trust())
    assert "Issuer and subject combination already exists" in caught.value.message
    assert [item.name for item in msi.federated_identity_credentials.list(group, IDENTITY)] == [CREDENTIAL]
    changed = trust("system:serviceaccount:dexter:other")
    assert (
        msi.federated_identity_credentials.create_or_update(group, IDENTITY, CREDENTIAL, changed).subject[-5:]
        == "other"
    )


def test_an_identity_takes_twenty_federated_credentials(world, identity, msi, group):
    for number in range(20):
        msi.federated_identity_credentials.create_or_update(group, IDENTITY, f"number-{number}", trust(str(number)))
    with pytest.raises(HttpResponseError) as caught:
        msi.federated_identity_credentials.create_or_update(group, IDENTITY, "number-20", trust("20"))
    assert caught.value.status_code == 400
    assert len(world.directory.federated_credentials(identity.principal_id)) == 20


def test_federated_credentials_are_written_one_at_a_time(world, identity, msi, group):
    together = Barrier(WRITERS)

    def write(number):
        together.wait(30)
        try:
            msi.federated_identity_credentials.create_or_update(group, IDENTITY, f"number-{number}", trust(str(number)))
        except ResourceExistsError as error:
            return error.error.code
        return ""

    written, refused = set(), []
    with ThreadPoolExecutor(WRITERS) as threads:
        for _ in range(ROUNDS):
            outcomes = list(threads.map(write, range(WRITERS)))
            assert "" in outcomes
            written |= {number for number, code in enumerate(outcomes) if not code}
            refused = [code for code in outcomes if code]
            if refused:
                break
    assert set(refused) == {"ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity"}
    assert len(world.directory.federated_credentials(identity.principal_id)) == len(written)


def test_a_role_takes_effect_where_it_is_assigned(world, identity, msi, roles, group):
    principal = world.directory.by_object_id(identity.principal_id)
    outsider = world.client(ManagedServiceIdentityClient, principal)
    with pytest.raises(HttpResponseError) as caught:
        outsider.user_assigned_identities.get(group, IDENTITY)
    assert caught.value.error.code == "AuthorizationFailed"
    made = assign(roles, identity.id, identity.principal_id)
    assert made.scope == identity.id
    assert made.role_definition_id.endswith(READER)
    assert outsider.user_assigned_identities.get(group, IDENTITY).name == IDENTITY
    with pytest.raises(HttpResponseError):
        outsider.user_assigned_identities.delete(group, IDENTITY)
    roles.role_assignments.delete(identity.id, made.name)
    with pytest.raises(HttpResponseError):
        outsider.user_assigned_identities.get(group, IDENTITY)


def test_the_same_assignment_is_a_conflict(identity, roles):
    name = str(uuid.uuid4())
    assign(roles, identity.id, identity.principal_id, name=name)
    for again in (name, str(uuid.uuid4())):
        with pytest.raises(ResourceExistsError) as caught:
            assign(roles, identity.id, identity.principal_id, name=again)
        assert (caught.value.status_code, caught.value.error.code) == (409, "RoleAssignmentExists")
    found = roles.role_assignments.list_for_scope(identity.id, filter=f"principalId eq '{identity.principal_id}'")
    assert [item.name for item in found] == [name]


def test_an_unknown_principal_is_refused(roles, identity):
    nobody = str(uuid.uuid4())
    with pytest.raises(HttpResponseError) as caught:
        assign(roles, identity.id, nobody)
    assert (caught.value.status_code, caught.value.error.code) == (400, "PrincipalNotFound")
    assert caught.value.error.message.startswith(
        f"Principal {nobody.replace('-', '')} does not exist in the directory {TENANT_ID}."
    )


def test_a_role_at_a_scope_that_is_not_there_is_refused(roles, identity, group):
    with pytest.raises(ResourceNotFoundError) as caught:
        assign(roles, f"{SCOPE}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/none", identity.principal_id)
    assert caught.value.error.code == "ResourceNotFound"


def test_assignments_are_listed_at_above_and_below(identity, roles, group):
    assign(roles, f"{SCOPE}/resourceGroups/{group}", identity.principal_id)
    only = f"assignedTo('{identity.principal_id}')"
    above = [item.scope for item in roles.role_assignments.list_for_scope(identity.id, filter=only)]
    assert above == [f"{SCOPE}/resourceGroups/{group}"]
    assert [item.scope for item in roles.role_assignments.list_for_resource_group(group, filter=only)] == above
    assert len(list(roles.role_assignments.list_for_subscription())) == 2
    assert [item.scope for item in roles.role_assignments.list_for_scope(SCOPE, filter="atScope()")] == [SCOPE]


def test_an_assignment_goes_with_its_resource(identity, msi, roles, group):
    assign(roles, identity.id, identity.principal_id)
    msi.user_assigned_identities.delete(group, IDENTITY)
    assert len(list(roles.role_assignments.list_for_subscription())) == 1


def test_role_definitions_are_found_by_name_and_id(roles):
    [found] = roles.role_definitions.list(SCOPE, filter="roleName eq 'Key Vault Secrets User'")
    assert (found.name, found.role_type) == (SECRETS_USER, "BuiltInRole")
    assert "Microsoft.KeyVault/vaults/secrets/getSecret/action" in found.permissions[0].data_actions
    assert roles.role_definitions.get(SCOPE, SECRETS_USER).role_name == "Key Vault Secrets User"
    with pytest.raises(ResourceNotFoundError) as caught:
        roles.role_definitions.get(SCOPE, str(uuid.uuid4()))
    assert caught.value.error.code == "RoleDefinitionDoesNotExist"
