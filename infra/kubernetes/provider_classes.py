"""SecretProviderClass: which vault is read, with which identity, and what becomes a file or a Secret's key.

https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/getting-started/usage/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from infra.kubernetes.client import Cluster

HELD_FOR = "keyturn/held-for"
"""Annotation: the rotation that holds the class at its former versions."""
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
        pinned: the vault's objects of which it names a version.
        held_for: the rotation that pinned them for a while; empty where it was somebody else.
    """

    name: str
    vault: str
    client_id: str
    tenant_id: str
    files: Mapping[str, str]
    synced: Mapping[str, Mapping[str, str]]
    pinned: frozenset[str] = frozenset()
    held_for: str = ""


def get_provider_class(cluster: Cluster, namespace: str, name: str) -> ProviderClass:
    """Return a SecretProviderClass.

    Raises:
        NotFound: there is none of that name.
    """
    found = cluster.get(path_of(namespace, name))
    spec = found.get("spec") or {}
    parameters = spec.get("parameters") or {}
    objects = parse_objects(parameters.get("objects") or "")
    files = {str(one.get("objectAlias") or one["objectName"]): str(one["objectName"]) for one in objects}
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
        frozenset(str(one["objectName"]) for one in objects if one.get("objectVersion")),
        (found["metadata"].get("annotations") or {}).get(HELD_FOR, ""),
    )


def path_of(namespace: str, name: str) -> str:
    """Return the path of a SecretProviderClass."""
    return f"{_API}/{namespace}/secretproviderclasses/{name}"


def parse_objects(objects: str) -> list[dict[str, Any]]:
    """Read the parameter `objects`: YAML that holds a list of YAML texts. What cannot be read is left out."""
    try:
        entries = [yaml.safe_load(text) for text in (yaml.safe_load(objects) or {}).get("array") or []]
    except (yaml.YAMLError, AttributeError):
        return []
    return [one for one in entries if isinstance(one, dict) and one.get("objectName")]
