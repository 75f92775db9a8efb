"""External Secrets Operator in a lab: its custom resources, a store of a vault, and an ExternalSecret."""

from typing import Any

from infra.azure.client import Azure
from infra.azure.roles import RoleAssignments
from infra.credentials import Credential
from infra.kubernetes.client import Cluster
from infra.kubernetes.manifests import apply, parse
from infra.provisioning.options import load_stack
from infra.provisioning.resources import Identity, VaultSecret
from infra.provisioning.wanted import SECRETS_USER, role
from testing.labs import ROOT
from testing.walkthrough import INVENTORY

API = "external-secrets.io/v1"
STORE = "vault"


def install_operator(cluster: Cluster) -> None:
    """Install the custom resources; the lab's operator begins to work with them."""
    path = ROOT / "lab" / "cluster" / "external_secrets" / "crds.yaml"
    apply(cluster, parse(path.name, path.read_text()))


def let_read(azure: Azure, credential: Credential) -> None:
    """Let the identity of the stack's pods, as which the store reads, read a credential's secrets."""
    stack = load_stack("walkthrough", ROOT / "manifests", INVENTORY)
    roles, identity = RoleAssignments(azure, stack.resource_group), Identity(name=stack.identity)
    for name in credential.secrets.names:
        roles.put(role(SECRETS_USER, VaultSecret(name=name, parent=credential.vault), identity))


def store(namespace: str, vault: str, service_account: str) -> dict[str, Any]:
    """Return a SecretStore that reads a vault as the identity of a service account."""
    provider = {
        "authType": "WorkloadIdentity",
        "vaultUrl": f"https://{vault}.vault.azure.net",
        "serviceAccountRef": {"name": service_account},
    }
    metadata = {"name": STORE, "namespace": namespace}
    return {"apiVersion": API, "kind": "SecretStore", "metadata": metadata, "spec": {"provider": {"azurekv": provider}}}


def external_secret(namespace: str, name: str, keys: dict[str, str], **spec: Any) -> dict[str, Any]:
    """Return an ExternalSecret: Secret's key -> the vault's secret."""
    data = [{"secretKey": key, "remoteRef": {"key": secret}} for key, secret in keys.items()]
    fields = {"secretStoreRef": {"name": STORE, "kind": "SecretStore"}, "refreshInterval": "1s", "data": data, **spec}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "ExternalSecret", "metadata": metadata, "spec": fields}
