"""External Secrets Operator in a lab: its custom resources, a store of a vault, and an ExternalSecret."""

from typing import Any

from infra.kubernetes.client import Cluster
from infra.kubernetes.manifests import apply, parse
from testing.labs import ROOT

API = "external-secrets.io/v1"
STORE = "vault"


def install_operator(cluster: Cluster) -> None:
    """Install the custom resources; the lab's operator begins to work with them."""
    path = ROOT / "lab" / "cluster" / "external_secrets" / "crds.yaml"
    apply(cluster, parse(path.name, path.read_text()))


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
