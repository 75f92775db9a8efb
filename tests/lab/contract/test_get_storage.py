"""get-storage as its pod runs it: a program of its own that reads blobs by workload identity."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from azure.storage.blob import ContentSettings
from azure_world import ACCOUNT, ACCOUNT_ID, AUDIENCE, CONTAINER, IDENTITY_ID, ISSUER, SUBJECT, AzureWorld

from lab.azure.backends import Origin
from lab.azure.directory import Principal
from lab.control.options import TENANT_ID

PROGRAM = Path(__file__).parents[3] / "manifests" / "walkthrough" / "get-storage" / "app.py"
DEMO = b"This is a Demo File."
READER = "Storage Blob Data Reader"


@dataclass
class Pod:
    """A running get-storage."""

    process: subprocess.Popen[str]
    url: str

    def get(self, path: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(self.url + path, timeout=20)


@pytest.fixture
def identity(azure: AzureWorld) -> Principal:
    """The pod's identity, which trusts the service account and may read nothing yet; the blobs are there."""
    azure.let_operator("Storage Blob Data Contributor", ACCOUNT_ID)
    with azure.blobs().create_container(CONTAINER) as container:
        container.upload_blob("demo.txt", DEMO, content_settings=ContentSettings(content_type="text/plain"))
        container.upload_blob("folder/a b.bin", b"x" * 10_000_000)
    principal = azure.cloud.directory.add_user_identity(IDENTITY_ID)
    azure.cloud.directory.add_federated_credential(
        principal.object_id, "aksfederatedidentity", ISSUER, SUBJECT, (AUDIENCE,)
    )
    return principal


@pytest.fixture
def start(azure: AzureWorld, identity: Principal, tmp_path: Path) -> Iterator[Callable[..., Pod]]:
    """Starts get-storage with the environment that the webhook and the node give a pod."""
    pods: list[Pod] = []

    def begin(**claims: str) -> Pod:
        token = tmp_path / "token"
        token.write_text(azure.issuer.token(azure.clock(), **claims))
        proxy = azure.open(Origin("pod", address="127.0.0.1"))
        environment = {
            "PATH": os.environ["PATH"],
            "HOST": "127.0.0.1",
            "PORT": "0",
            "HTTPS_PROXY": proxy,
            "HTTP_PROXY": proxy,
            "REQUESTS_CA_BUNDLE": str(azure.cloud.ca_bundle),
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_TENANT_ID": TENANT_ID,
            "AZURE_FEDERATED_TOKEN_FILE": str(token),
            "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
        }
        process = subprocess.Popen([sys.executable, PROGRAM], env=environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        listening = re.search(r"listens on (\S+)", process.stderr.readline())
        assert listening
        pods.append(Pod(process, f"http://{listening.group(1)}"))
        return pods[-1]

    yield begin
    for pod in pods:
        pod.process.terminate()
        pod.process.communicate(timeout=10)


def test_a_blob_is_served_with_its_type_and_length(
    azure: AzureWorld, identity: Principal, start: Callable[..., Pod]
) -> None:
    azure.assign(identity, READER, ACCOUNT_ID)
    answer = start().get(f"/api/{ACCOUNT}/{CONTAINER}/demo.txt")
    assert (answer.status_code, answer.content) == (200, DEMO)
    assert (answer.headers["Content-Type"], answer.headers["Content-Length"]) == ("text/plain", "20")


def test_a_large_blob_in_a_folder_is_streamed_whole(
    azure: AzureWorld, identity: Principal, start: Callable[..., Pod]
) -> None:
    azure.assign(identity, READER, ACCOUNT_ID)
    answer = start().get(f"/api/{ACCOUNT}/{CONTAINER}/folder/a%20b.bin")
    assert (answer.status_code, len(answer.content)) == (200, 10_000_000)
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_an_absent_blob_and_an_absent_container_are_not_found(
    azure: AzureWorld, identity: Principal, start: Callable[..., Pod]
) -> None:
    azure.assign(identity, READER, ACCOUNT_ID)
    pod = start()
    blob, container = pod.get(f"/api/{ACCOUNT}/{CONTAINER}/nosuch"), pod.get(f"/api/{ACCOUNT}/nosuch/demo.txt")
    assert (blob.status_code, blob.json()["error"]["code"]) == (404, "BlobNotFound")
    assert (container.status_code, container.json()["error"]["code"]) == (404, "ContainerNotFound")


def test_without_a_role_the_answer_is_forbidden(start: Callable[..., Pod]) -> None:
    answer = start().get(f"/api/{ACCOUNT}/{CONTAINER}/demo.txt")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AuthorizationPermissionMismatch")


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"sub": "system:serviceaccount:dexter:another"}, "AADSTS700213"),
        ({"aud": "api://another"}, "AADSTS700212"),
    ],
)
def test_an_identity_that_is_not_accepted_is_a_bad_gateway_with_entra_ids_code(
    start: Callable[..., Pod], claims: dict[str, str], code: str
) -> None:
    answer = start(**claims).get(f"/api/{ACCOUNT}/{CONTAINER}/demo.txt")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, code)


def test_names_that_cannot_be_are_refused_before_anything_is_asked(start: Callable[..., Pod]) -> None:
    pod = start()
    refused = {
        "/api/NOT.A.NAME/dexter/demo.txt": (400, "InvalidAccount"),
        "/api/evil.example.com%2Fx/dexter/demo.txt": (400, "InvalidAccount"),
        f"/api/{ACCOUNT}/a--b/demo.txt": (400, "InvalidContainer"),
        f"/api/{ACCOUNT}/{CONTAINER}/": (404, "NoSuchPage"),
        "/": (404, "NoSuchPage"),
    }
    answers = {path: pod.get(path) for path in refused}
    assert {path: (item.status_code, item.json()["error"]["code"]) for path, item in answers.items()} == refused


def test_it_is_healthy_without_azure_and_ends_when_told(start: Callable[..., Pod]) -> None:
    pod = start()
    assert pod.get("/healthz").status_code == 200
    pod.process.send_signal(signal.SIGTERM)
    assert pod.process.wait(timeout=10) == 0
