"""The workload identity webhook: what it does to new pods that carry its label.

https://github.com/Azure/azure-workload-identity/blob/v1.6.0/pkg/webhook/webhook.go
"""

import base64
import json
from collections.abc import Callable
from copy import deepcopy

from lab.cluster.client import Object

PREFIX = "azure.workload.identity/"
VOLUME = "azure-identity-token"
MOUNT_PATH = "/var/run/secrets/azure/tokens"
AUDIENCE = "api://AzureADTokenExchange"
AUTHORITY_HOST = "https://login.microsoftonline.com/"
EXPIRATION = range(3600, 86401)
"""Seconds that a token may live; the first is the default."""

Mutator = Callable[[Object, Object], Object]
"""Called with a new pod and its service account, returns the pod as it is to be."""


def workload_identity(tenant_id: str) -> Mutator:
    """The webhook of a cluster in a tenant.

    Args:
        tenant_id: where identities are looked for unless the service account names another tenant.
    """

    def mutate(pod: Object, account: Object) -> Object:
        if (pod["metadata"].get("labels") or {}).get(f"{PREFIX}use") != "true":
            return pod
        return _mutate(deepcopy(pod), account, tenant_id)

    return mutate


def review(request: Object, account: Object, tenant_id: str) -> Object:
    """The answer to an AdmissionReview, for API servers that call webhooks over HTTP.

    Args:
        request: the AdmissionReview.
        account: the pod's service account.
        tenant_id: as for `workload_identity`.
    """
    pod = request["request"]["object"]
    patch = [{"op": "replace", "path": "/spec", "value": workload_identity(tenant_id)(pod, account)["spec"]}]
    answer = {
        "uid": request["request"]["uid"],
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}


def _mutate(pod: Object, account: Object, tenant_id: str) -> Object:
    given = account["metadata"].get("annotations") or {}
    own = pod["metadata"].get("annotations") or {}
    variables = {
        "AZURE_CLIENT_ID": given.get(f"{PREFIX}client-id", ""),
        "AZURE_TENANT_ID": given.get(f"{PREFIX}tenant-id") or tenant_id,
        "AZURE_FEDERATED_TOKEN_FILE": f"{MOUNT_PATH}/{VOLUME}",
        "AZURE_AUTHORITY_HOST": AUTHORITY_HOST,
    }
    skipped = {name.strip() for name in own.get(f"{PREFIX}skip-containers", "").split(";")}
    spec = pod["spec"]
    for container in (*(spec.get("initContainers") or []), *spec["containers"]):
        if container["name"] not in skipped:
            _add_variables(container, variables)
            _add_mount(container)
    _add_volume(spec, _expiration(own, given))
    return pod


def _expiration(own: dict[str, str], given: dict[str, str]) -> int:
    """The pod's wish goes before the service account's; one that is out of bounds is not granted."""
    name = f"{PREFIX}service-account-token-expiration"
    wish = own.get(name) or given.get(name) or ""
    return int(wish) if wish.isdecimal() and int(wish) in EXPIRATION else EXPIRATION.start


def _add_variables(container: Object, variables: dict[str, str]) -> None:
    entries = container.setdefault("env", [])
    present = {entry["name"] for entry in entries}
    entries.extend({"name": name, "value": value} for name, value in variables.items() if name not in present)


def _add_mount(container: Object) -> None:
    mounts = container.setdefault("volumeMounts", [])
    if all(mount["name"] != VOLUME for mount in mounts):
        mounts.append({"name": VOLUME, "mountPath": MOUNT_PATH, "readOnly": True})


def _add_volume(spec: Object, seconds: int) -> None:
    volumes = spec.setdefault("volumes", [])
    if any(volume["name"] == VOLUME for volume in volumes):
        return
    token = {"path": VOLUME, "expirationSeconds": seconds, "audience": AUDIENCE}
    volumes.append({"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": token}], "defaultMode": 0o644}})
