"""Steps that prove who may read what: the machine by its own identity, the pod by workload identity."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from prefect import get_run_logger

from infra.azure import identities, machines, storage
from infra.azure.answers import read_blob_answer, read_pod_answer, read_secret_answer, verify_same
from infra.azure.credentials import signed_in
from infra.azure.explaining import explain_denial, explain_federation
from infra.azure.secrets import Secrets
from infra.errors import AccessDenied, AuthenticationFailed, NotFound
from infra.kubernetes.workloads import get_workload, run_in_pod
from infra.provisioning.stack import BLOB_READER, SECRETS_USER
from infra.settings import Settings
from infra.targets import Stack
from tasks.connections import cluster_of
from tasks.deployment import STORAGE
from tasks.policy import step as a_step
from tasks.reporting import report_table

SHOWN_LIMIT = 40
READY = "if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null 2>&1; fi"
"""The machine's first start installs jq; this waits for it."""
SECRET_COMMAND = """\
curl -s https://{vault}.vault.azure.net/secrets/{secret}?api-version=2016-10-01 -H "Authorization: Bearer `curl \
'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net' \
-H Metadata:true | jq -r '.access_token'`\""""  # noqa: S105
BLOB_COMMAND = """\
curl "https://{account}.blob.core.windows.net/{container}/{blob}" -H "x-ms-version: 2017-11-09" -H "Authorization: \
Bearer `curl 'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2F\
storage.azure.com%2F' -H Metadata:true | jq -r '.access_token'`\""""


@dataclass(frozen=True)
class Proof:
    """One row of the walkthrough, proven.

    Args:
        row: its number.
        asked: what was asked of whom.
        seen: what was seen; a username at most, never another value.
        took_seconds: how long that took.
    """

    row: str
    asked: str
    seen: str
    took_seconds: float


@a_step(
    name="Read a secret on the machine",
    run_name="S1: {stack.virtual_machine} reads the secret {stack.username_secret} of {stack.vault}",
)
def read_secret_on_machine(stack: Stack) -> Proof:
    """Let the machine read the username by its system-assigned identity, and compare it with the vault's.

    Raises:
        NotFound: vault, secret or machine does not exist.
        SecretUnusable: the newest version is disabled.
        AccessDenied: the machine's identity lacks Key Vault Secrets User.
        NotYetPropagated: it has the role, and the role has no effect yet.
    """
    settings, started = Settings(), time.monotonic()
    name = f"{stack.vault}/{stack.username_secret}"
    with signed_in(settings):
        expected = Secrets(stack.vault, settings).read(stack.username_secret)
        printed = _run(stack, SECRET_COMMAND.format(vault=stack.vault, secret=stack.username_secret), settings)
        try:
            value = read_secret_answer(printed, name)
        except AccessDenied as error:
            raise explain_denial(error, stack, SECRETS_USER, _machine_id(stack, settings), settings) from None
    verify_same("The machine read another username than the vault holds", name, value, expected)
    return _proof("S1", f"curl with the identity of {stack.virtual_machine}: secret {name}", value, started)


@a_step(
    name="Read a blob on the machine",
    run_name="S2: {stack.virtual_machine} reads {stack.container}/{stack.blob} of {stack.storage_account}",
)
def read_blob_on_machine(stack: Stack) -> Proof:
    """Let the machine read the blob by its system-assigned identity, and compare it with the account's.

    Raises:
        NotFound: account, container, blob or machine does not exist.
        AccessDenied: the machine's identity lacks Storage Blob Data Reader.
        NotYetPropagated: it has the role, and the role has no effect yet.
    """
    settings, started = Settings(), time.monotonic()
    name = f"{stack.storage_account}/{stack.container}/{stack.blob}"
    with signed_in(settings):
        expected = storage.read_blob(stack.blob, stack.container, stack.storage_account, settings).decode()
        command = BLOB_COMMAND.format(account=stack.storage_account, container=stack.container, blob=stack.blob)
        printed = _run(stack, command, settings)
        try:
            content = read_blob_answer(printed, name)
        except AccessDenied as error:
            raise explain_denial(error, stack, BLOB_READER, _machine_id(stack, settings), settings) from None
    verify_same("The machine read another text than the blob holds", name, content, expected)
    return _proof("S2", f"curl with the identity of {stack.virtual_machine}: blob {name}", _short(content), started)


@a_step(
    name="Read a blob through the pod",
    run_name="S15: get-storage in {stack.namespace} serves {stack.container}/{stack.blob} of {stack.storage_account}",
)
def read_blob_in_pod(stack: Stack) -> Proof:
    """Ask get-storage for the blob, from inside its own pod, and compare the answer with the account's blob.

    Raises:
        NotFound: there is no ready pod, or account, container or blob does not exist.
        AccessDenied: the pods' identity lacks Storage Blob Data Reader.
        AuthenticationFailed: Entra ID does not take the pod's token (code AADSTS70021x).
        NotYetPropagated: role or federated credential is there, and has no effect yet.
    """
    settings, started = Settings(), time.monotonic()
    name = f"{stack.storage_account}/{stack.container}/{stack.blob}"
    url = f"http://localhost:8080/api/{name}"
    with signed_in(settings):
        expected = storage.read_blob(stack.blob, stack.container, stack.storage_account, settings).decode()
        body, status, pod = _ask_pod(stack, url, settings)
        try:
            content = read_pod_answer(body, status, name)
        except AccessDenied as error:
            principal_id = identities.get_identity(stack.identity, stack.resource_group, settings).principal_id
            raise explain_denial(error, stack, BLOB_READER, principal_id, settings) from None
        except AuthenticationFailed as error:
            raise explain_federation(error, stack, settings) from None
    verify_same("get-storage served another text than the blob holds", name, content, expected)
    return _proof("S15", f"curl {url} in {pod}", f"{_short(content)} ({len(content.encode())} bytes)", started)


@a_step(name="Report the access", run_name="Report who can read what in {stack.resource_group}")
def report_access(stack: Stack, proofs: Sequence[Proof]) -> None:
    """Show what was asked and seen as a table."""
    rows = [
        {"row": one.row, "asked": one.asked, "seen": one.seen, "took": f"{one.took_seconds:.1f} s"} for one in proofs
    ]
    report_table("access", rows, f"Who can read what in {stack.resource_group}, by identities alone")


def _run(stack: Stack, command: str, settings: Settings) -> str:
    logger = get_run_logger()
    logger.info("Running on %s: %s", stack.virtual_machine, command)
    output = machines.run_command(
        stack.virtual_machine, stack.resource_group, f"{READY}\n{command}", settings, logger.info
    )
    return output.stdout


def _ask_pod(stack: Stack, url: str, settings: Settings) -> tuple[str, int, str]:
    """Return body and status of get-storage's answer, and the pod that gave it."""
    cluster = cluster_of(stack.resource_group, stack.cluster, settings)
    pods = [pod for pod in get_workload(cluster, stack.namespace, STORAGE).pods if pod.ready and not pod.terminating]
    if not pods:
        raise NotFound("No pod of get-storage is ready", name=f"{stack.namespace}/{STORAGE}", fix="run the flow deploy")
    argv = ["curl", "-s", "-w", "\\n%{http_code}", url]
    get_run_logger().info("Running in %s: curl %s", pods[0].name, url)
    output = run_in_pod(cluster, stack.namespace, pods[0].name, argv)
    body, _, status = output.stdout.rpartition("\n")
    return body, int(status) if status.isdigit() else 0, pods[0].name


def _machine_id(stack: Stack, settings: Settings) -> str:
    return machines.get_machine(stack.virtual_machine, stack.resource_group, settings).principal_id


def _proof(row: str, asked: str, seen: str, started: float) -> Proof:
    took = time.monotonic() - started
    get_run_logger().info("%s: %s: seen %s after %.1f s", row, asked, seen, took)
    return Proof(row, asked, seen, took)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_LIMIT else f"{text[:SHOWN_LIMIT]}..."
