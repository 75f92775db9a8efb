"""The built-in kinds, as a real API server's discovery lists them."""

from dataclasses import dataclass

from lab.cluster.api.kinds.kind import ALL_VERBS, STATUS_VERBS, Kind, Registry, Subresource
from lab.cluster.api.schema.types import built_in

STATUS = ("status",)
SCALED = ("status", "scale")
CREATE = ("create",)
_ENDPOINTS = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
_NO_COLLECTION = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")


@dataclass(frozen=True)
class _Row:
    kind: str
    plural: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    generation: bool = False
    verbs: tuple[str, ...] = ALL_VERBS
    deprecation: str = ""


_CORE = (
    _Row("Binding", "bindings", verbs=CREATE),
    _Row("ConfigMap", "configmaps", short=("cm",)),
    _Row("Endpoints", "endpoints", short=("ep",), deprecation=_ENDPOINTS),
    _Row("Event", "events", short=("ev",)),
    _Row("Namespace", "namespaces", False, ("ns",), (), ("finalize", "status"), verbs=_NO_COLLECTION),
    _Row("Node", "nodes", False, ("no",), (), ("proxy", "status")),
    _Row("PersistentVolumeClaim", "persistentvolumeclaims", True, ("pvc",), (), STATUS),
    _Row("PersistentVolume", "persistentvolumes", False, ("pv",), (), STATUS),
    _Row(
        "Pod",
        "pods",
        True,
        ("po",),
        ("all",),
        ("attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"),
        True,
    ),
    _Row("Secret", "secrets"),
    _Row("ServiceAccount", "serviceaccounts", True, ("sa",), (), ("token",)),
    _Row("Service", "services", True, ("svc",), ("all",), ("proxy", "status")),
)
_APPS = (
    _Row("ControllerRevision", "controllerrevisions"),
    _Row("DaemonSet", "daemonsets", True, ("ds",), ("all",), STATUS, True),
    _Row("Deployment", "deployments", True, ("deploy",), ("all",), SCALED, True),
    _Row("ReplicaSet", "replicasets", True, ("rs",), ("all",), SCALED, True),
    _Row("StatefulSet", "statefulsets", True, ("sts",), ("all",), SCALED, True),
)
_AUTOSCALING = (_Row("HorizontalPodAutoscaler", "horizontalpodautoscalers", True, ("hpa",), ("all",), STATUS),)
_BATCH = (
    _Row("CronJob", "cronjobs", True, ("cj",), ("all",), STATUS, True),
    _Row("Job", "jobs", True, (), ("all",), STATUS, True),
)
_STORAGE = (
    _Row("CSIDriver", "csidrivers", False),
    _Row("CSINode", "csinodes", False),
    _Row("StorageClass", "storageclasses", False, ("sc",)),
)
_RBAC = (
    _Row("ClusterRoleBinding", "clusterrolebindings", False),
    _Row("ClusterRole", "clusterroles", False),
    _Row("RoleBinding", "rolebindings"),
    _Row("Role", "roles"),
)
_AUTHORIZATION = (
    _Row("LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=CREATE),
    _Row("SelfSubjectAccessReview", "selfsubjectaccessreviews", False, verbs=CREATE),
    _Row("SelfSubjectRulesReview", "selfsubjectrulesreviews", False, verbs=CREATE),
    _Row("SubjectAccessReview", "subjectaccessreviews", False, verbs=CREATE),
)
_AUTHENTICATION = (
    _Row("SelfSubjectReview", "selfsubjectreviews", False, verbs=CREATE),
    _Row("TokenReview", "tokenreviews", False, verbs=CREATE),
)
_CRD = (
    _Row(
        "CustomResourceDefinition",
        "customresourcedefinitions",
        False,
        ("crd", "crds"),
        ("api-extensions",),
        STATUS,
        True,
    ),
)
_GROUPS = (
    ("", "io.k8s.api.core", _CORE),
    ("apps", "io.k8s.api.apps", _APPS),
    ("authentication.k8s.io", "io.k8s.api.authentication", _AUTHENTICATION),
    ("authorization.k8s.io", "io.k8s.api.authorization", _AUTHORIZATION),
    ("autoscaling", "io.k8s.api.autoscaling", _AUTOSCALING),
    ("batch", "io.k8s.api.batch", _BATCH),
    ("storage.k8s.io", "io.k8s.api.storage", _STORAGE),
    ("rbac.authorization.k8s.io", "io.k8s.api.rbac", _RBAC),
    ("coordination.k8s.io", "io.k8s.api.coordination", (_Row("Lease", "leases"),)),
    ("discovery.k8s.io", "io.k8s.api.discovery", (_Row("EndpointSlice", "endpointslices", generation=True),)),
    ("apiextensions.k8s.io", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions", _CRD),
)
_STREAM = ("create", "get")
_SPECIAL = {
    "scale": Subresource("scale", "Scale", STATUS_VERBS, "autoscaling/v1"),
    "eviction": Subresource("eviction", "Eviction", CREATE, "policy/v1"),
    "binding": Subresource("binding", "Binding", CREATE),
    "token": Subresource("token", "TokenRequest", CREATE, "authentication.k8s.io/v1"),
    "log": Subresource("log", "Pod", ("get",)),
    "exec": Subresource("exec", "PodExecOptions", _STREAM),
    "attach": Subresource("attach", "PodAttachOptions", _STREAM),
    "portforward": Subresource("portforward", "PodPortForwardOptions", _STREAM),
}
_PROXY_VERBS = ("create", "delete", "get", "patch", "update")


def _subresource(name: str, kind: str) -> Subresource:
    if name == "proxy":
        return Subresource("proxy", f"{kind}ProxyOptions", _PROXY_VERBS)
    if name == "finalize":
        return Subresource("finalize", kind, ("update",))
    return _SPECIAL.get(name) or Subresource(name, kind)


def _kind(group: str, package: str, row: _Row) -> Kind:
    return Kind(
        group=group,
        version="v1",
        kind=row.kind,
        plural=row.plural,
        namespaced=row.namespaced,
        schema=built_in()[f"{package}.v1.{row.kind}"],
        singular=row.kind.lower(),
        short_names=row.short,
        categories=row.categories,
        verbs=row.verbs,
        subresources=tuple(_subresource(name, row.kind) for name in row.subresources),
        stored=row.verbs != CREATE,
        generation=row.generation,
        deprecation=row.deprecation,
    )


def registry() -> Registry:
    """A registry of all built-in kinds."""
    found = Registry()
    for group, package, rows in _GROUPS:
        for row in rows:
            found.add(_kind(group, package, row))
    return found
