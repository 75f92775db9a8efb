"""What a cluster has from the start: its namespaces, the service kubernetes, and the roles that bindings name."""

from lab.cluster.api.kinds.kind import Registry
from lab.cluster.api.objects import Json
from lab.cluster.api.patches.ownership import Manager
from lab.cluster.api.rest.writes import Write, Writer

_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_RBAC = "rbac.authorization.k8s.io"
_WRITE = Write(Manager("kube-apiserver"))
_READ = ["get", "list", "watch"]
_CHANGE = ["create", "delete", "deletecollection", "patch", "update"]
_HEALTH = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_WORKLOADS = ["daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets"]
_CORE = [
    *("configmaps", "endpoints", "events", "persistentvolumeclaims", "pods", "pods/log", "pods/status"),
    *("serviceaccounts", "services"),
]


def start_objects(writer: Writer, registry: Registry) -> None:
    """Create what every cluster starts with."""
    for name in _NAMESPACES:
        writer.create(registry.get("", "namespaces"), "", {"metadata": {"name": name}}, _WRITE)
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]
    labels = {"component": "apiserver", "provider": "kubernetes"}
    service = {"metadata": {"name": "kubernetes", "labels": labels}, "spec": {"type": "ClusterIP", "ports": ports}}
    writer.create(registry.get("", "services"), "default", service, _WRITE)
    for name, rules in _roles().items():
        role = {"metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}, "rules": rules}
        writer.create(registry.get(_RBAC, "clusterroles"), "", role, _WRITE)
    for name, (group, role_name) in _BINDINGS.items():
        reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role_name}
        subject = {"apiGroup": _RBAC, "kind": "Group", "name": group}
        labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
        binding = {"metadata": {"name": name, "labels": labels}, "roleRef": reference, "subjects": [subject]}
        writer.create(registry.get(_RBAC, "clusterrolebindings"), "", binding, _WRITE)


_BINDINGS = {
    "cluster-admin": ("system:masters", "cluster-admin"),
    "system:basic-user": ("system:authenticated", "system:basic-user"),
    "system:discovery": ("system:authenticated", "system:discovery"),
    "system:public-info-viewer": ("system:authenticated", "system:public-info-viewer"),
    "system:service-account-issuer-discovery": ("system:serviceaccounts", "system:service-account-issuer-discovery"),
}


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> Json:
    return {"verbs": verbs, "apiGroups": groups, "resources": resources}


def _paths(*paths: str) -> Json:
    return {"verbs": ["get"], "nonResourceURLs": list(paths)}


def _roles() -> dict[str, list[Json]]:
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    issuer = [
        f"/{path}{slash}" for path in (".well-known/openid-configuration", "openid/v1/jwks") for slash in ("", "/")
    ]
    discovered = [f"/{path}" for path in ("api", "api/*", "apis", "apis/*", "openapi", "openapi/*")]
    return {
        **_user_roles(),
        "system:basic-user": [
            _rule(["authorization.k8s.io"], reviews, ["create"]),
            _rule(["authentication.k8s.io"], ["selfsubjectreviews"], ["create"]),
        ],
        "system:discovery": [_paths(*_HEALTH, *discovered)],
        "system:public-info-viewer": [_paths(*_HEALTH)],
        "system:service-account-issuer-discovery": [_paths(*issuer)],
    }


def _user_roles() -> dict[str, list[Json]]:
    everything = [_rule(["*"], ["*"], ["*"]), {"verbs": ["*"], "nonResourceURLs": ["*"]}]
    view = [_rule([""], [*_CORE, "namespaces"], _READ), _rule(["apps"], _WORKLOADS, _READ)]
    view.append(_rule(["discovery.k8s.io"], ["endpointslices"], _READ))
    hidden = ["secrets", "pods/exec", "pods/eviction", "serviceaccounts/token"]
    edit = [_rule([""], [*_CORE, *hidden], _READ + _CHANGE), _rule(["apps"], _WORKLOADS, _READ + _CHANGE), *view]
    admin = [*edit, _rule([_RBAC], ["roles", "rolebindings"], _READ + _CHANGE)]
    return {"cluster-admin": everything, "admin": admin, "edit": edit, "view": view}
