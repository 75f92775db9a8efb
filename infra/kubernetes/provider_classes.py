"""SecretProviderClass: which vault is read, with which identity, and what becomes a file or a Secret's key.

https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/getting-started/usage/
"""

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from infra.kubernetes.client import Cluster

_API = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces"


@dataclass(frozen=True)
class ProviderClass:
    """A SecretProviderClass.

    Args:
        name: its name.
        vault: the key vault that it reads.
        client_id: the identity that it reads with.
        tenant_id: the identity's tenant.
        files: name of each mounted file -> name of the vault's object.
        synced: Secret -> key -> name of the vault's object.
    """

    name: str
    vault: str
    client_id: str
    tenant_id: str
    files: Mapping[str, str]
    synced: Mapping[str, Mapping[str, str]]


def get_provider_class(cluster: Cluster, namespace: str, name: str) -> ProviderClass:
    """Return a SecretProviderClass.

    Raises:
        NotFound: there is none of that name.
    """
    spec = cluster.get(f"{_API}/{namespace}/secretproviderclasses/{name}").get("spec") or {}
    parameters = spec.get("parameters") or {}
    files = _files(parameters.get("objects") or "")
    synced = {
        secret["secretName"]: {
            item["key"]: files.get(item["objectName"], item["objectName"]) for item in secret.get("data") or []
        }
        for secret in spec.get("secretObjects") or []
    }
    return ProviderClass(
        name,
        parameters.get("keyvaultName", ""),
        parameters.get("clientID", ""),
        parameters.get("tenantID") or parameters.get("tenantId", ""),
        files,
        synced,
    )


def _files(objects: str) -> dict[str, str]:
    """Read the parameter `objects`: YAML that holds a list of YAML texts."""
    try:
        entries = [yaml.safe_load(text) for text in (yaml.safe_load(objects) or {}).get("array") or []]
    except (yaml.YAMLError, AttributeError):
        return {}
    return {
        str(entry.get("objectAlias") or entry["objectName"]): str(entry["objectName"])
        for entry in entries
        if isinstance(entry, dict) and entry.get("objectName")
    }
