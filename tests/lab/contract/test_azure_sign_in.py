"""Signing in: by client secret, by federation, and what Entra ID says when it refuses."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme
from azure.core.exceptions import ClientAuthenticationError
from azure_world import AUDIENCE, IDENTITY_ID, ISSUER, SUBJECT, VAULT_ID, VAULT_SCOPE, AzureWorld, ClusterIssuer

from lab.azure.directory import Principal
from lab.control.options import OPERATOR_CLIENT_ID, TENANT_ID

TOKEN_URL = f"https://login.microsoftonline.com/{TENANT_ID}/oauth2/v2.0/token"


def federate(azure: AzureWorld, issuer: str = ISSUER, subject: str = SUBJECT, audience: str = AUDIENCE) -> Principal:
    identity = azure.cloud.directory.add_user_identity(IDENTITY_ID)
    azure.cloud.directory.add_federated_credential(
        identity.object_id, "aksfederatedidentity", issuer, subject, (audience,)
    )
    return identity


def refusal_of(azure: AzureWorld, token: str, identity: Principal, folder: Path) -> str:
    with pytest.raises(ClientAuthenticationError) as caught:
        azure.pod_credential(token, identity.client_id, folder).get_token(VAULT_SCOPE)
    return str(caught.value)


def test_the_operator_signs_in_with_the_secret_of_the_environment(azure: AzureWorld) -> None:
    claims = jwt.decode(azure.token(), options={"verify_signature": False})
    assert claims["aud"] == "https://vault.azure.net"
    assert claims["iss"] == f"https://sts.windows.net/{TENANT_ID}/"
    assert (claims["appid"], claims["oid"]) == (OPERATOR_CLIENT_ID, azure.cloud.directory.operator.object_id)


def test_tokens_are_signed_with_the_key_that_discovery_leads_to(azure: AzureWorld) -> None:
    base = f"https://login.microsoftonline.com/{TENANT_ID}/v2.0/.well-known/openid-configuration"
    keys = azure.request("GET", azure.request("GET", base).json()["jwks_uri"]).json()
    token = azure.token()
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key.key, algorithms=["RS256"], audience="https://vault.azure.net")["tid"] == TENANT_ID


def test_a_wrong_secret_is_refused_without_repeating_it(azure: AzureWorld) -> None:
    azure.speak_as_operator(secret="not-the-secret")
    with pytest.raises(ClientAuthenticationError) as caught:
        azure.token()
    assert "AADSTS7000215: Invalid client secret provided" in str(caught.value)
    assert "not-the-secret" not in str(caught.value)


def test_an_unknown_client_is_refused(azure: AzureWorld) -> None:
    azure.monkeypatch.setenv("AZURE_CLIENT_ID", "00000000-0000-4000-8000-000000000001")
    with pytest.raises(ClientAuthenticationError, match="AADSTS700016: Application with identifier '00000000-0000"):
        azure.token()


def test_an_error_body_has_the_ids_that_azure_gives(azure: AzureWorld) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": OPERATOR_CLIENT_ID,
        "client_secret": "no",
        "scope": VAULT_SCOPE,
    }
    answer = azure.request("POST", TOKEN_URL, data=form, headers={"client-request-id": "abc"})
    body = answer.json()
    assert (answer.status_code, body["error"], body["error_codes"]) == (401, "invalid_client", [7000215])
    assert body["correlation_id"] == "abc"
    assert f"Trace ID: {body['trace_id']}" in body["error_description"]


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({}, 400, 900144),
        ({"grant_type": "password"}, 400, 70003),
        ({"grant_type": "client_credentials", "client_id": OPERATOR_CLIENT_ID}, 401, 7000216),
    ],
)
def test_an_incomplete_request_is_refused(azure: AzureWorld, form: dict[str, str], status: int, code: int) -> None:
    answer = azure.request("POST", TOKEN_URL, data=form)
    assert (answer.status_code, answer.json()["error_codes"]) == (status, [code])


@pytest.mark.parametrize(
    ("scope", "code"), [("https://vault.azure.net", 1002012), ("https://nobody.example/.default", 500011)]
)
def test_a_scope_that_is_no_resource_is_refused(azure: AzureWorld, scope: str, code: int) -> None:
    form = {"grant_type": "client_credentials", "client_id": OPERATOR_CLIENT_ID, "scope": scope}
    answer = azure.request("POST", TOKEN_URL, data={**form, "client_secret": azure.cloud.operator_secret})
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [code])


def test_the_first_version_of_the_endpoint_takes_a_resource_and_answers_in_strings(azure: AzureWorld) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": OPERATOR_CLIENT_ID,
        "client_secret": azure.cloud.operator_secret,
        "resource": "https://management.azure.com/",
    }
    body = azure.request("POST", TOKEN_URL.replace("/v2.0", ""), data=form).json()
    assert body["resource"] == "https://management.azure.com/"
    assert body["expires_in"] == "3599"


def test_another_tenant_is_unknown(azure: AzureWorld) -> None:
    other = "11111111-0000-4000-8000-000000000001"
    answer = azure.request("POST", TOKEN_URL.replace(TENANT_ID, other))
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [90002])
    azure.monkeypatch.setenv("AZURE_TENANT_ID", other)
    with pytest.raises(ClientAuthenticationError, match="Unable to get authority configuration"):
        azure.token()


def test_a_service_account_token_stands_for_the_identity_that_trusts_it(azure: AzureWorld, tmp_path: Path) -> None:
    identity = federate(azure)
    azure.assign(identity, "Key Vault Secrets User", VAULT_ID)
    found = azure.cloud.vaults.find("dexterkeyvault")
    assert found
    found.set_secret("username", "dexter")
    credential = azure.pod_credential(azure.issuer.token(azure.clock()), identity.client_id, tmp_path)
    assert azure.secrets(credential).get_secret("username").value == "dexter"


@pytest.mark.parametrize(
    ("changed", "code", "seen"),
    [
        ({"iss": ISSUER.rstrip("/")}, "AADSTS700211", "issuer 'https://eastus2.oic.prod-aks.azure.com/"),
        ({"sub": "system:serviceaccount:dexter:default"}, "AADSTS700213", "subject 'system:serviceaccount:dexter:def"),
        ({"sub": SUBJECT.replace("dexter-sa", "Dexter-SA")}, "AADSTS7002138", "subject 'system:serviceaccount:"),
        ({"aud": ["https://kubernetes.default.svc"]}, "AADSTS700212", "audience 'https://kubernetes.default.svc'"),
        ({"aud": [AUDIENCE.lower()]}, "AADSTS700212", "audience 'api://azureadtokenexchange'"),
        ({"lifetime": -1}, "AADSTS700024", "not within its valid time range"),
        ({"kid": "two"}, "AADSTS700027", "The key was not found"),
    ],
)
def test_an_assertion_that_does_not_fit_is_refused(
    azure: AzureWorld, tmp_path: Path, changed: dict[str, Any], code: str, seen: str
) -> None:
    identity = federate(azure)
    text = refusal_of(azure, azure.issuer.token(azure.clock(), **changed), identity, tmp_path)
    assert f"{code}: " in text
    assert seen in text


def test_an_assertion_of_another_key_is_refused(azure: AzureWorld, tmp_path: Path) -> None:
    forged = ClusterIssuer().token(azure.clock())
    text = refusal_of(azure, forged, federate(azure), tmp_path)
    assert "AADSTS700027: Client assertion failed signature validation" in text


def test_an_issuer_that_does_not_answer_is_refused(azure: AzureWorld, tmp_path: Path) -> None:
    gone = "https://eastus2.oic.prod-aks.azure.com/gone/cluster/"
    text = refusal_of(azure, azure.issuer.token(azure.clock(), iss=gone), federate(azure, issuer=gone), tmp_path)
    assert "AADSTS90061" in text


class Elsewhere:
    """A cluster's issuer outside the lab, over TLS; says what it is told to."""

    def __init__(self, authority: trustme.CA) -> None:
        self.documents: dict[str, Any] = {}
        documents = self.documents

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = documents.get(self.path)
                self.send_response(404 if found is None else 200)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"

    def publish(self, issuer: str, keys: dict[str, Any]) -> None:
        configuration = {"issuer": issuer, "jwks_uri": f"{self.url}/openid/v1/jwks"}
        self.documents.update({"/.well-known/openid-configuration": configuration, "/openid/v1/jwks": keys})


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "elsewhere.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "elsewhere.pem"))
    made = Elsewhere(authority)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join(10)
    made.server.server_close()


def test_a_trusted_issuer_elsewhere_is_asked_for_its_keys(
    make_azure: Callable[..., AzureWorld], elsewhere: Elsewhere, tmp_path: Path
) -> None:
    azure = make_azure(trusted_issuers=(elsewhere.url,))
    identity, token = federate(azure, issuer=elsewhere.url), azure.issuer.token(azure.clock(), iss=elsewhere.url)
    elsewhere.publish(elsewhere.url, azure.issuer.jwks())
    assert azure.pod_credential(token, identity.client_id, tmp_path).get_token(VAULT_SCOPE).token
    elsewhere.publish(elsewhere.url, {"keys": []})
    assert "AADSTS700027" in refusal_of(azure, token, identity, tmp_path)
    elsewhere.publish(f"{elsewhere.url}/", azure.issuer.jwks())
    assert "AADSTS90061" in refusal_of(azure, token, identity, tmp_path)


def test_an_issuer_elsewhere_that_is_not_trusted_is_not_asked(
    make_azure: Callable[..., AzureWorld], elsewhere: Elsewhere, tmp_path: Path
) -> None:
    azure = make_azure()
    elsewhere.publish(elsewhere.url, azure.issuer.jwks())
    identity, token = federate(azure, issuer=elsewhere.url), azure.issuer.token(azure.clock(), iss=elsewhere.url)
    assert "AADSTS90061" in refusal_of(azure, token, identity, tmp_path)


def test_what_is_no_token_is_refused(azure: AzureWorld, tmp_path: Path) -> None:
    assert "AADSTS50027" in refusal_of(azure, "not-a-token", federate(azure), tmp_path)


def test_a_new_federated_credential_takes_its_time(make_azure: Callable[..., AzureWorld], tmp_path: Path) -> None:
    azure = make_azure(propagation_delay_seconds=30)
    identity = federate(azure)
    assert "AADSTS700211" in refusal_of(azure, azure.issuer.token(azure.clock()), identity, tmp_path)
    azure.clock.advance(30)
    credential = azure.pod_credential(azure.issuer.token(azure.clock()), identity.client_id, tmp_path)
    assert credential.get_token(VAULT_SCOPE).token


def test_an_issuer_shows_its_keys_to_everybody(azure: AzureWorld) -> None:
    configuration = azure.request("GET", f"{ISSUER}.well-known/openid-configuration").json()
    assert configuration["issuer"] == ISSUER
    assert json.loads(azure.request("GET", configuration["jwks_uri"]).text) == azure.issuer.jwks()
