"""The kubeconfigs of a managed cluster, with the names that AKS gives to their parts.

https://learn.microsoft.com/azure/aks/kubelogin-authentication
"""

import base64
from typing import Any

import yaml

from lab.azure.backends import ClusterSpec
from lab.control.options import TENANT_ID

CLIENT_ID = "80faf920-1908-4b52-b5ef-a8e7bedfc67a"
"""The application by which people sign in to clusters."""
SERVER_ID = "6dae42f8-4368-4678-94ff-3960e28e3630"
_HINT = "kubelogin is not installed which is required to connect to AAD enabled cluster.\n"


def write_kubeconfig(spec: ClusterSpec, ca_pem: str, role: str, user: dict[str, Any]) -> str:
    """The kubeconfig (YAML) of a cluster for a user."""
    group = spec.resource_id.split("/")[4]
    person = f"cluster{'Admin' if role == 'admin' else 'User'}_{group}_{spec.name}"
    context = f"{spec.name}-admin" if role == "admin" else spec.name
    authority = base64.b64encode(ca_pem.encode()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": spec.name,
                "cluster": {"certificate-authority-data": authority, "server": f"https://{spec.fqdn}:443"},
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": spec.name, "user": person}}],
        "current-context": context,
        "preferences": {},
        "users": [{"name": person, "user": user}],
    }
    return str(yaml.safe_dump(config, sort_keys=False))


def exec_user() -> dict[str, Any]:
    """A user who signs in by kubelogin."""
    options = {"--environment": "AzurePublicCloud", "--server-id": SERVER_ID, "--client-id": CLIENT_ID}
    options |= {"--tenant-id": TENANT_ID, "--login": "devicecode"}
    words = [word for pair in options.items() for word in pair]
    plugin = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "env": None}
    return {"exec": plugin | {"args": ["get-token", *words], "installHint": _HINT, "provideClusterInfo": False}}


def azure_user() -> dict[str, Any]:
    """A user who signs in by the provider that kubectl had before 1.26."""
    config = {"apiserver-id": SERVER_ID, "client-id": CLIENT_ID, "config-mode": "1"}
    config |= {"environment": "AzurePublicCloud", "tenant-id": TENANT_ID}
    return {"auth-provider": {"name": "azure", "config": config}}
