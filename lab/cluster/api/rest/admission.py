"""Admission: what the cluster does to, and asks of, a new object before it is stored.

Namespaces must exist and not be on their way out; pods get their service account and its token volume. Further
mutations of pods, as a webhook makes them, are given as callables.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from lab.cluster.api.errors import forbidden, not_found
from lab.cluster.api.kinds.kind import Kind, Registry
from lab.cluster.api.kinds.services import Allocator
from lab.cluster.api.objects import Json, clone, dig, metadata, name_of, namespace_of, random_suffix
from lab.cluster.api.store import Store

PodMutator = Callable[[Json, Json], Json]
"""Called with a new pod and its service account, returns the pod as it is to be."""

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 (a path)
_TOKEN_SECONDS = 3607
_IMMORTAL = ("default", "kube-system", "kube-public")


@dataclass
class Admission:
    """The admission chain.

    Args:
        store: where namespaces and service accounts are looked up.
        registry: the kinds.
        allocator: gives services their addresses.
        mutators: further mutations of new pods, in order.
    """

    store: Store
    registry: Registry
    allocator: Allocator
    mutators: list[PodMutator] = field(default_factory=list)

    def admit_create(self, kind: Kind, obj: Json) -> Json:
        """Check and complete a new object.

        Raises:
            ApiError: 404 for a missing namespace; 403 for one that is being terminated, or a missing service account.
        """
        if kind.namespaced:
            self._check_namespace(kind, obj)
        if kind.storage_key == ("", "pods"):
            return self._admit_pod(obj)
        return obj

    def allocate(self, kind: Kind, obj: Json) -> None:
        """Give a service what it lacks, just before it is stored."""
        if kind.storage_key == ("", "services"):
            mine = (namespace_of(obj), name_of(obj))
            others = [s.obj for s in self.store.items(kind) if (namespace_of(s.obj), name_of(s.obj)) != mine]
            self.allocator.allocate(obj, [other["spec"] for other in others])

    def check_delete(self, kind: Kind, name: str) -> None:
        """Some namespaces cannot be deleted.

        Raises:
            ApiError: 403 for those.
        """
        if kind.storage_key == ("", "namespaces") and name in _IMMORTAL:
            raise forbidden("namespaces", "", name, "this namespace may not be deleted")

    def _check_namespace(self, kind: Kind, obj: Json) -> None:
        namespace = namespace_of(obj)
        found = self.store.find(self.registry.get("", "namespaces"), "", namespace)
        if found is None:
            raise not_found("namespaces", "", namespace)
        if metadata(found.obj).get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = forbidden(kind.plural, kind.group, name_of(obj), why)
            cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace"}
            cause["message"] = f"namespace {namespace} is being terminated"
            error.details = {**(error.details or {}), "causes": [cause]}
            raise error

    def _admit_pod(self, pod: Json) -> Json:
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        found = self.store.find(self.registry.get("", "serviceaccounts"), namespace_of(pod), name)
        if found is None:
            where = f"{namespace_of(pod)}/{name}"
            why = f'error looking up service account {where}: serviceaccount "{name}" not found'
            raise forbidden("pods", "", name_of(pod), why)
        account = clone(found.obj)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]
        if _wants_token(spec, account):
            _mount_token(spec)
        for mutate in self.mutators:
            pod = mutate(pod, account)
        return pod


def _wants_token(spec: Json, account: Json) -> bool:
    for wish in (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if wish is not None:
            return bool(wish)
    return True


def _mount_token(spec: Json) -> None:
    containers = [c for field in ("initContainers", "containers") for c in spec.get(field) or ()]
    lacking = [c for c in containers if all(m.get("mountPath") != TOKEN_PATH for m in c.get("volumeMounts") or ())]
    if not lacking:
        return
    name = f"kube-api-access-{random_suffix()}"
    for container in lacking:
        container.setdefault("volumeMounts", []).append({"name": name, "readOnly": True, "mountPath": TOKEN_PATH})
    spec.setdefault("volumes", []).append({"name": name, "projected": _token_projection()})


def _token_projection() -> Json:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"sources": sources, "defaultMode": 0o644}


def pod_is_finished(pod: Json) -> bool:
    """Whether a pod has run to its end."""
    return dig(pod, "status", "phase") in ("Succeeded", "Failed")
