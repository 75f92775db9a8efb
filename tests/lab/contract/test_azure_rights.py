"""Who may do what: role assignments at their scopes, access policies, tokens that do not count."""

from collections.abc import Callable

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure_world import ACCOUNT_ID, CONTAINER, GROUP, VAULT, VAULT_ID, AzureWorld

from lab.control.options import OPERATOR_CLIENT_ID, SUBSCRIPTION_ID, TENANT_ID

URL = f"https://{VAULT}.vault.azure.net/secrets/username?api-version=7.6"


def test_the_owner_of_the_subscription_reads_no_secret(azure: AzureWorld) -> None:
    with pytest.raises(HttpResponseError) as caught:
        azure.secrets().get_secret("username")
    operator = azure.cloud.directory.operator.object_id
    error = caught.value.error
    assert caught.value.status_code == 403
    assert error
    assert (error.code, error.innererror) == ("Forbidden", {"code": "ForbiddenByRbac"})
    assert error.message == (
        "Caller is not authorized to perform action on resource.\r\n"
        "If role assignments, deny assignments or role definitions were changed recently, please observe propagation "
        "time.\r\n"
        f"Caller: appid={OPERATOR_CLIENT_ID};oid={operator};iss=https://sts.windows.net/{TENANT_ID}/\r\n"
        "Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\n"
        f"Resource: '{VAULT_ID.lower()}/secrets/username'\r\n"
        "Assignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null \r\n"
        f"Vault: {VAULT};location=eastus2\r\n"
    )


@pytest.mark.parametrize(
    "scope", [f"/subscriptions/{SUBSCRIPTION_ID}", GROUP.upper(), VAULT_ID, f"{VAULT_ID}/secrets/username"]
)
def test_a_role_counts_at_and_below_its_scope(azure: AzureWorld, scope: str) -> None:
    vault = azure.cloud.vaults.find(VAULT)
    assert vault
    vault.set_secret("username", "dexter")
    azure.let_operator("Key Vault Secrets User", scope)
    assert azure.secrets().get_secret("username").value == "dexter"


@pytest.mark.parametrize("scope", [f"{GROUP}-other", f"{VAULT_ID}2", f"{VAULT_ID}/secrets/user"])
def test_a_role_beside_its_scope_counts_for_nothing(azure: AzureWorld, scope: str) -> None:
    azure.let_operator("Key Vault Secrets User", scope)
    with pytest.raises(HttpResponseError, match="ForbiddenByRbac"):
        azure.secrets().get_secret("username")


@pytest.mark.parametrize(
    ("attempt", "action"),
    [
        (lambda secrets: secrets.set_secret("username", "x"), "setSecret/action"),
        (lambda secrets: secrets.update_secret_properties("username", tags={}), "update/action"),
        (lambda secrets: secrets.begin_delete_secret("username"), "delete"),
        (lambda secrets: secrets.purge_deleted_secret("username"), "purge/action"),
        (lambda secrets: secrets.begin_recover_deleted_secret("username"), "recover/action"),
    ],
)
def test_a_secrets_user_changes_nothing(azure: AzureWorld, attempt: Callable[..., object], action: str) -> None:
    vault = azure.cloud.vaults.find(VAULT)
    assert vault
    vault.set_secret("username", "dexter")
    azure.let_operator("Key Vault Secrets User", VAULT_ID)
    with pytest.raises(HttpResponseError, match=f"Action: 'Microsoft.KeyVault/vaults/secrets/{action}'"):
        attempt(azure.secrets())
    assert [item.value for item in vault.list_versions("username")] == ["dexter"]
    assert vault.list_deleted() == []


def test_a_new_role_takes_its_time(make_azure: Callable[..., AzureWorld]) -> None:
    azure = make_azure(propagation_delay_seconds=60)
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    secrets = azure.secrets()
    with pytest.raises(HttpResponseError, match="ForbiddenByRbac"):
        secrets.set_secret("username", "dexter")
    azure.clock.advance(60)
    assert secrets.set_secret("username", "dexter").value == "dexter"


def test_a_vault_without_rbac_asks_its_policies(azure: AzureWorld) -> None:
    operator = azure.cloud.directory.operator.object_id
    policies = {operator: frozenset({"set"})}
    azure.cloud.vaults.create(f"{VAULT_ID}2", f"{VAULT}2", "eastus2", rbac=False, policies=policies)
    secrets = azure.secrets(vault=f"{VAULT}2")
    secrets.set_secret("username", "dexter")
    with pytest.raises(HttpResponseError, match="does not have secrets get permission") as caught:
        secrets.get_secret("username")
    assert caught.value.error
    assert caught.value.error.innererror == {"code": "ForbiddenByPolicy"}


def test_a_request_without_a_token_is_told_where_to_get_one(azure: AzureWorld) -> None:
    answer = azure.request("GET", URL)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "Unauthorized")
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer authorization="https://login.microsoftonline.com/{TENANT_ID}", resource="https://vault.azure.net"'
    )


def test_a_token_for_another_service_does_not_count(azure: AzureWorld) -> None:
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    token = azure.token("https://management.azure.com/.default")
    answer = azure.request("GET", URL, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert "AKV10022: Invalid audience" in answer.json()["error"]["message"]


def test_a_token_that_somebody_else_signed_does_not_count(azure: AzureWorld) -> None:
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    claims = jwt.decode(azure.token(), options={"verify_signature": False})
    forged = jwt.encode(claims, azure.issuer.key, algorithm="RS256")
    answer = azure.request("GET", URL, headers={"Authorization": f"Bearer {forged}"})
    assert answer.status_code == 401
    assert "Signature validation failed" in answer.json()["error"]["message"]


def test_a_token_ends(azure: AzureWorld) -> None:
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    token = azure.token()
    azure.clock.advance(3600)
    answer = azure.request("GET", URL, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert "TokenExpired" in answer.json()["error"]["message"]


def test_a_deleted_identity_has_no_token_that_counts(azure: AzureWorld) -> None:
    machine = azure.speak_as_machine()
    azure.assign(machine, "Key Vault Secrets User", VAULT_ID)
    secrets = azure.secrets(azure.machine_credential())
    with pytest.raises(HttpResponseError, match="SecretNotFound"):
        secrets.get_secret("username")
    azure.cloud.directory.remove(machine.object_id)
    with pytest.raises(ClientAuthenticationError):
        secrets.get_secret("username")


def test_blobs_ask_for_a_data_role_too(azure: AzureWorld) -> None:
    azure.let_operator("Contributor", ACCOUNT_ID)
    blobs = azure.blobs()
    container = blobs.create_container(CONTAINER)
    with pytest.raises(HttpResponseError) as caught:
        container.upload_blob("demo.txt", b"This is a Demo File.")
    assert (caught.value.status_code, caught.value.error_code) == (403, "AuthorizationPermissionMismatch")
    container.close()


def test_a_blob_reader_reads_its_container_and_no_other(azure: AzureWorld) -> None:
    account = azure.cloud.storage.find("integrateakskvtachotacho")
    assert account
    for name in (CONTAINER, "other"):
        account.create_container(name).put_blob("demo.txt", b"This is a Demo File.", azure.clock())
    machine = azure.speak_as_machine()
    azure.assign(machine, "Storage Blob Data Reader", account.scope_of(CONTAINER))
    blobs = azure.blobs(azure.machine_credential())
    assert blobs.get_blob_client(CONTAINER, "demo.txt").download_blob().readall() == b"This is a Demo File."
    for forbidden in (("other", "demo.txt", "download_blob"), (CONTAINER, "demo.txt", "delete_blob")):
        with pytest.raises(HttpResponseError) as caught:
            getattr(blobs.get_blob_client(*forbidden[:2]), forbidden[2])()
        assert caught.value.error_code == "AuthorizationPermissionMismatch"
