"""Which kind behaves how."""

from collections.abc import Mapping

from lab.cluster.api.kinds import batch, core, pods, services, workloads
from lab.cluster.api.kinds.behaviour import Behaviour
from lab.cluster.api.kinds.definitions import DEFINITIONS
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.schema.custom import fill_defaults, validate_custom

_RBAC = "rbac.authorization.k8s.io"
_BEHAVIOURS: Mapping[tuple[str, str], Behaviour] = {
    ("", "configmaps"): core.CONFIG_MAPS,
    ("", "endpoints"): core.ENDPOINTS,
    ("", "events"): core.EVENTS,
    ("", "namespaces"): core.NAMESPACES,
    ("", "nodes"): core.NODES,
    ("", "persistentvolumeclaims"): core.CLAIMS,
    ("", "persistentvolumes"): core.VOLUMES,
    ("", "pods"): pods.PODS,
    ("", "secrets"): core.SECRETS,
    ("", "services"): services.SERVICES,
    ("apps", "daemonsets"): workloads.DAEMON_SETS,
    ("apps", "deployments"): workloads.DEPLOYMENTS,
    ("apps", "replicasets"): workloads.REPLICA_SETS,
    ("apps", "statefulsets"): workloads.STATEFUL_SETS,
    ("batch", "cronjobs"): batch.CRON_JOBS,
    ("batch", "jobs"): batch.JOBS,
    ("apiextensions.k8s.io", "customresourcedefinitions"): DEFINITIONS,
    ("coordination.k8s.io", "leases"): core.LEASES,
    ("discovery.k8s.io", "endpointslices"): core.ENDPOINT_SLICES,
    ("storage.k8s.io", "csidrivers"): core.CSI_DRIVERS,
    ("storage.k8s.io", "storageclasses"): core.STORAGE_CLASSES,
    (_RBAC, "clusterroles"): core.ROLES,
    (_RBAC, "roles"): core.ROLES,
    (_RBAC, "clusterrolebindings"): core.ROLE_BINDINGS,
    (_RBAC, "rolebindings"): core.ROLE_BINDINGS,
}
_PLAIN = Behaviour()


def behaviour_of(kind: Kind) -> Behaviour:
    """The rules of a kind; those without any of their own are stored as they come."""
    if kind.custom:
        return Behaviour(
            default=lambda obj: fill_defaults(kind.schema, obj),
            validate=lambda obj: validate_custom(kind.schema, obj),
        )
    return _BEHAVIOURS.get(kind.storage_key, _PLAIN)
