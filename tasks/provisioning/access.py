"""Proofs of who may read what: the machine by its own identity, the pod by workload identity."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from prefect import get_run_logger

from infra.azure.answers import read_blob_answer, read_pod_answer, read_secret_answer, verify_same
from infra.azure.client import Azure
from infra.azure.kinds import kinds_of
from infra.azure.machines import Machines
from infra.azure.storage import Blobs
from infra.errors import AccessDenied, AuthenticationFailed, NotFound
from infra.kubernetes.pods import run_in_pod
from infra.kubernetes.workloads import open_workload
from infra.provisioning.denials import explain_denial, explain_federation
from infra.provisioning.options import Stack
from infra.provisioning.resources import Blob, Identity, Machine
from infra.provisioning.wanted import federation, read_rights
from tasks.context import open_cluster, opened_azure
from tasks.reports.artifacts import report_table
from tasks.retries import task_with_retries

SHOWN_LIMIT = 40
READY = "if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null 2>&1; fi"
"""The machine's first start installs jq; this waits for it."""
SECRET_COMMAND = """\
curl -s https://{vault}.{domain}/secrets/{secret}?api-version=2016-10-01 -H "Authorization: Bearer `curl \
'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2F{domain}' \
-H Metadata:true | jq -r '.access_token'`\""""  # noqa: S105
BLOB_COMMAND = """\
curl "https://{account}.{domain}/{container}/{blob}" -H "x-ms-version: 2017-11-09" -H "Authorization: \
Bearer `curl 'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2F\
storage.azure.com%2F' -H Metadata:true | jq -r '.access_token'`\""""


@dataclass(frozen=True)
class Proof:
    """One row of the walkthrough that was proven.

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


@task_with_retries(
    name="Read a secret on the machine",
    run_name="S1: {stack.virtual_machine} reads the secret {stack.database_secrets.username} of {stack.vault}",
)
def read_secret_on_machine(stack: Stack) -> Proof:
    """Let the machine read the username by its system-assigned identity, and compare it with the vault's.

    Raises:
        NotFound: vault, secret or machine does not exist.
        SecretUnusable: the newest version is disabled.
        AccessDenied: the machine's identity lacks Key Vault Secrets User.
        NotYetPropagated: it has the role, which is not effective yet.
    """
    started, secret = time.monotonic(), stack.database_secrets.username
    name = f"{stack.vault}/{secret}"
    with opened_azure() as azure:
        expected = azure.vault(stack.vault).read(secret)
        command = SECRET_COMMAND.format(vault=stack.vault, domain=azure.cloud.vault_domain, secret=secret)
        printed = _run(azure, stack, command)
        try:
            value = read_secret_answer(printed, name)
        except AccessDenied as error:
            needed, *_ = read_rights(stack, Machine(name=stack.virtual_machine))
            raise explain_denial(error, needed, kinds_of(azure, stack.resource_group)) from None
    verify_same("The machine read another username than the vault holds", name, value, expected)
    return _proof("S1", f"curl with the identity of {stack.virtual_machine}: secret {name}", value, started)


@task_with_retries(
    name="Read a blob on the machine",
    run_name="S2: {stack.virtual_machine} reads {stack.container}/{stack.blob} of {stack.storage_account}",
)
def read_blob_on_machine(stack: Stack) -> Proof:
    """Let the machine read the blob by its system-assigned identity, and compare it with the account's.

    Raises:
        NotFound: account, container, blob or machine does not exist.
        AccessDenied: the machine's identity lacks Storage Blob Data Reader.
        NotYetPropagated: it has the role, which is not effective yet.
    """
    started, blob = time.monotonic(), _blob(stack)
    account, container = stack.storage_account, stack.container
    with opened_azure() as azure:
        domain = azure.cloud.blob_domain
        command = BLOB_COMMAND.format(account=account, domain=domain, container=container, blob=stack.blob)
        expected = Blobs(azure, stack.resource_group).read(blob).decode()
        printed = _run(azure, stack, command)
        try:
            content = read_blob_answer(printed, blob.label)
        except AccessDenied as error:
            *_, needed = read_rights(stack, Machine(name=stack.virtual_machine))
            raise explain_denial(error, needed, kinds_of(azure, stack.resource_group)) from None
    verify_same("The machine read another text than the blob holds", blob.label, content, expected)
    asked = f"curl with the identity of {stack.virtual_machine}: blob {blob.label}"
    return _proof("S2", asked, _short(content), started)


@task_with_retries(
    name="Read a blob through the pod",
    run_name="S15: {stack.storage_workload} serves {stack.container}/{stack.blob} of {stack.storage_account}",
)
def read_blob_in_pod(stack: Stack) -> Proof:
    """Ask the workload that serves the blob, from inside its own pod, and compare the answer with the account's blob.

    Raises:
        NotFound: there is no ready pod, or account, container or blob does not exist.
        AccessDenied: the pods' identity lacks Storage Blob Data Reader.
        AuthenticationFailed: Entra ID refuses the pod's token (code AADSTS70021x).
        NotYetPropagated: role or federated credential exists, and is not effective yet.
    """
    started, blob = time.monotonic(), _blob(stack)
    url = f"http://localhost:8080/api/{blob.label}"
    with opened_azure() as azure:
        kinds = kinds_of(azure, stack.resource_group)
        expected = Blobs(azure, stack.resource_group).read(blob).decode()
        body, status, pod = _ask_pod(azure, stack, url)
        try:
            content = read_pod_answer(body, status, blob.label)
        except AccessDenied as error:
            *_, needed = read_rights(stack, Identity(name=stack.identity))
            raise explain_denial(error, needed, kinds) from None
        except AuthenticationFailed as error:
            raise explain_federation(error, federation(stack), kinds) from None
    verify_same("The pod served another text than the blob holds", blob.label, content, expected)
    return _proof("S15", f"curl {url} in {pod}", f"{_short(content)} ({len(content.encode())} bytes)", started)


@task_with_retries(name="Report the access", run_name="report who can read what in {stack.resource_group}")
def report_access(stack: Stack, proofs: Sequence[Proof]) -> None:
    """Show what was asked and seen as a table."""
    rows = [
        {"row": proof.row, "asked": proof.asked, "seen": proof.seen, "took": f"{proof.took_seconds:.1f} s"}
        for proof in proofs
    ]
    report_table("access", rows, f"Who can read what in {stack.resource_group}, by identities alone")


def _blob(stack: Stack) -> Blob:
    return Blob(name=stack.blob, parent=f"{stack.storage_account}/{stack.container}")


def _run(azure: Azure, stack: Stack, command: str) -> str:
    logger = get_run_logger()
    logger.info("Running on %s: %s", stack.virtual_machine, command)
    machines = Machines(azure, stack.resource_group)
    return machines.run_command(stack.virtual_machine, f"{READY}\n{command}", logger.info).stdout


def _ask_pod(azure: Azure, stack: Stack, url: str) -> tuple[str, int, str]:
    """Return body and status of the answer, and the pod that gave it."""
    cluster = open_cluster(stack.database.cluster, azure)
    workload = open_workload(cluster, stack.storage).get()
    pods = [pod for pod in workload.pods if pod.ready and not pod.terminating]
    if not pods:
        raise NotFound("No pod is ready", name=str(stack.storage), fix="Run the flow deploy")
    argv = ["curl", "-s", "-w", "\\n%{http_code}", url]
    get_run_logger().info("Running in %s: curl %s", pods[0].name, url)
    output = run_in_pod(cluster, stack.namespace, pods[0].name, argv)
    body, _, status = output.stdout.rpartition("\n")
    return body, int(status) if status.isdigit() else 0, pods[0].name


def _proof(row: str, asked: str, seen: str, started: float) -> Proof:
    took = time.monotonic() - started
    get_run_logger().info("%s: %s: seen %s after %.1f s", row, asked, seen, took)
    return Proof(row, asked, seen, took)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_LIMIT else f"{text[:SHOWN_LIMIT]}..."
