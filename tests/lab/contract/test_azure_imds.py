"""IMDS: machines get tokens for their identities, and nobody else does."""

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError
from azure_world import IDENTITY_ID, MACHINE_ID, VAULT, VAULT_ID, VAULT_SCOPE, AzureWorld

from lab.azure.backends import Origin

URL = "http://169.254.169.254/metadata/identity/oauth2/token"
QUERY = {"api-version": "2018-02-01", "resource": "https://vault.azure.net"}
HEADERS = {"Metadata": "true"}


def test_a_machine_reads_a_secret_with_its_own_identity(azure: AzureWorld) -> None:
    machine = azure.speak_as_machine()
    azure.assign(machine, "Key Vault Secrets User", VAULT_ID)
    vault = azure.cloud.vaults.find(VAULT)
    assert vault
    vault.set_secret("username", "dexter")
    assert azure.secrets(azure.credential()).get_secret("username").value == "dexter"


def test_the_answer_has_the_fields_of_azure_with_numbers_as_strings(azure: AzureWorld) -> None:
    machine = azure.speak_as_machine()
    body = azure.request("GET", URL, params=QUERY, headers=HEADERS).json()
    assert set(body) == {
        "access_token",
        "client_id",
        "expires_in",
        "expires_on",
        "ext_expires_in",
        "not_before",
        "resource",
        "token_type",
    }
    assert (body["client_id"], body["resource"]) == (machine.client_id, "https://vault.azure.net")
    assert int(body["expires_on"]) - int(body["not_before"]) == int(body["expires_in"])


@pytest.mark.parametrize(
    ("headers", "query", "text"),
    [
        ({}, QUERY, "Required metadata header not specified"),
        (HEADERS, {"api-version": "2018-02-01"}, "Required query variable 'resource' is missing"),
        (HEADERS, {"resource": "https://vault.azure.net"}, "Required query variable 'api-version' is missing"),
        (HEADERS, {**QUERY, "client_id": "00000000-0000-4000-8000-000000000001"}, "Identity not found"),
        (HEADERS, {**QUERY, "resource": "https://nobody.example"}, "AADSTS500011"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(
    azure: AzureWorld, headers: dict[str, str], query: dict[str, str], text: str
) -> None:
    azure.speak_as_machine()
    answer = azure.request("GET", URL, params=query, headers=headers)
    assert answer.status_code == 400
    assert text in answer.json()["error_description"]


@pytest.mark.parametrize("key", ["client_id", "object_id", "msi_res_id"])
def test_a_user_assigned_identity_is_asked_for_by_any_of_its_ids(azure: AzureWorld, key: str) -> None:
    azure.speak_as_machine()
    identity = azure.cloud.directory.add_user_identity(IDENTITY_ID)
    azure.cloud.directory.attach(MACHINE_ID, identity)
    ids = {"client_id": identity.client_id, "object_id": identity.object_id, "msi_res_id": IDENTITY_ID.lower()}
    body = azure.request("GET", URL, params={**QUERY, key: ids[key]}, headers=HEADERS).json()
    assert jwt.decode(body["access_token"], options={"verify_signature": False})["oid"] == identity.object_id


def test_the_sdk_asks_for_a_user_assigned_identity_by_client_id(azure: AzureWorld) -> None:
    azure.speak_as_machine()
    identity = azure.cloud.directory.add_user_identity(IDENTITY_ID)
    azure.cloud.directory.attach(MACHINE_ID, identity)
    token = azure.machine_credential(client_id=identity.client_id).get_token(VAULT_SCOPE).token
    assert jwt.decode(token, options={"verify_signature": False})["appid"] == identity.client_id


def test_an_identity_that_is_not_attached_is_not_found(azure: AzureWorld) -> None:
    azure.speak_as_machine()
    identity = azure.cloud.directory.add_user_identity(IDENTITY_ID)
    with pytest.raises(ClientAuthenticationError, match="Identity not found"):
        azure.machine_credential(client_id=identity.client_id).get_token(VAULT_SCOPE)


def test_a_machine_with_several_identities_must_say_which(azure: AzureWorld) -> None:
    azure.speak_as_machine()
    azure.cloud.directory.remove(azure.cloud.directory.add_system_identity(MACHINE_ID).object_id)
    for name in ("one", "two"):
        azure.cloud.directory.attach(MACHINE_ID, azure.cloud.directory.add_user_identity(f"{IDENTITY_ID}-{name}"))
    answer = azure.request("GET", URL, params=QUERY, headers=HEADERS)
    assert "Multiple user assigned identities exist" in answer.json()["error_description"]


def test_the_operator_is_on_no_machine(azure: AzureWorld) -> None:
    assert azure.request("GET", URL, params=QUERY, headers=HEADERS).status_code == 403
    with pytest.raises(CredentialUnavailableError):
        azure.machine_credential().get_token(VAULT_SCOPE)


def test_a_pod_has_no_identity_of_a_machine(azure: AzureWorld) -> None:
    azure.speak_as_machine()
    azure.use_proxy(azure.open(Origin("pod", address="127.77.1.1")))
    answer = azure.request("GET", URL, params=QUERY, headers=HEADERS)
    assert (answer.status_code, answer.json()["error_description"]) == (400, "Identity not found")
