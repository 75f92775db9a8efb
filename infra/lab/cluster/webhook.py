"""The workload-identity webhook: what it adds to new pods that carry its label.

https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html
"""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

LABEL = "azure.workload.identity/use"
CLIENT_ID = "azure.workload.identity/client-id"
TENANT_ID = "azure.workload.identity/tenant-id"
EXPIRATION = "azure.workload.identity/service-account-token-expiration"
SKIPPED = "azure.workload.identity/skip-containers"
AUDIENCE = "api://AzureADTokenExchange"
AUTHORITY_HOST = "https://login.microsoftonline.com/"
VOLUME = "azure-identity-token"
MOUNT_PATH = "/var/run/secrets/azure/tokens"
DEFAULT_EXPIRATION_SECONDS = 3600
EXPIRATION_BOUNDS_SECONDS = (3600, 86400)


def workload_identity(tenant_id: str) -> Callable[[Json, Json], Json]:
    """The mutation of new pods, for clusters of one tenant.

    Args:
        tenant_id: the tenant that a service account is in unless its annotation says otherwise.
    """

    def mutate(pod: Json, account: Json) -> Json:
        if _of(pod, "labels").get(LABEL) != "true":
            return pod
        variables = {
            "AZURE_CLIENT_ID": _of(account, "annotations").get(CLIENT_ID, ""),
            "AZURE_TENANT_ID": _of(account, "annotations").get(TENANT_ID, tenant_id),
            "AZURE_FEDERATED_TOKEN_FILE": f"{MOUNT_PATH}/{VOLUME}",
            "AZURE_AUTHORITY_HOST": AUTHORITY_HOST,
        }
        for container in _containers(pod):
            _complete(container, variables)
        _add_volume(pod, _expiration_seconds(pod, account))
        return pod

    return mutate


def _of(obj: Json, field: str) -> dict[str, str]:
    values: dict[str, str] = obj.get("metadata", {}).get(field) or {}
    return values


def _containers(pod: Json) -> list[Json]:
    skipped = {name.strip() for name in _of(pod, "annotations").get(SKIPPED, "").split(";")}
    found = [*pod["spec"].get("initContainers", []), *pod["spec"].get("containers", [])]
    return [container for container in found if container["name"] not in skipped]


def _complete(container: Json, variables: dict[str, str]) -> None:
    """Add what is missing; what the manifest says itself stays."""
    given = container.setdefault("env", [])
    present = {variable["name"] for variable in given}
    given.extend({"name": name, "value": value} for name, value in variables.items() if name not in present)
    mounts = container.setdefault("volumeMounts", [])
    if all(mount["name"] != VOLUME for mount in mounts):
        mounts.append({"name": VOLUME, "mountPath": MOUNT_PATH, "readOnly": True})


def _add_volume(pod: Json, expiration_seconds: int) -> None:
    volumes = pod["spec"].setdefault("volumes", [])
    if any(volume["name"] == VOLUME for volume in volumes):
        return
    token = {"path": VOLUME, "audience": AUDIENCE, "expirationSeconds": expiration_seconds}
    volumes.append({"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": token}], "defaultMode": 420}})


def _expiration_seconds(pod: Json, account: Json) -> int:
    """The pod's annotation, else the service account's, within the webhook's bounds."""
    for obj in (pod, account):
        text = _of(obj, "annotations").get(EXPIRATION, "")
        if text.isdecimal() and EXPIRATION_BOUNDS_SECONDS[0] <= int(text) <= EXPIRATION_BOUNDS_SECONDS[1]:
            return int(text)
    return DEFAULT_EXPIRATION_SECONDS
