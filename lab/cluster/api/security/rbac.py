"""RBAC: what roles and bindings allow.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.cluster.api.errors import ApiError, forbidden
from lab.cluster.api.kinds.kind import Registry
from lab.cluster.api.requests import RequestInfo
from lab.cluster.api.security.entra import EntraUsers
from lab.cluster.api.security.users import ANYBODY, MASTERS, User
from lab.cluster.api.store import Store

_GROUP = "rbac.authorization.k8s.io"
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class Grant:
    """A rule that a user has, and where: in one namespace, or everywhere if it is empty."""

    rule: Mapping[str, Any]
    namespace: str


class Authorizer:
    """Says what users may.

    Args:
        store: where roles and bindings are.
        registry: the kinds.
        entra: the principals of Entra ID, for a managed cluster.
    """

    def __init__(self, store: Store, registry: Registry, entra: EntraUsers | None = None) -> None:
        self._store, self._entra = store, entra
        self._roles, self._bindings = registry.get(_GROUP, "roles"), registry.get(_GROUP, "rolebindings")
        self._cluster_roles = registry.get(_GROUP, "clusterroles")
        self._cluster_bindings = registry.get(_GROUP, "clusterrolebindings")

    def is_allowed(self, user: User, request: RequestInfo) -> bool:
        """Whether a user may do what a request asks for."""
        if MASTERS in user.groups:
            return True
        if self._entra and self._entra.is_ruled_by_azure(user):
            if self._entra.is_allowed(user, request):
                return True
            user = ANYBODY
        return any(_allows(grant.rule, request) for grant in self.grants(user, request.namespace))

    def check(self, user: User, request: RequestInfo) -> None:
        """Let a request pass.

        Raises:
            ApiError: 403 if the user may not.
        """
        if not self.is_allowed(user, request):
            raise _refusal(user, request)

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """The rules that a user has everywhere, and in a namespace."""
        for binding in self._store.items(self._cluster_bindings):
            if _is_subject(user, binding.obj, ""):
                yield from self._rules(binding.obj, "", "")
        if namespace:
            for binding in self._store.items(self._bindings, namespace):
                if _is_subject(user, binding.obj, namespace):
                    yield from self._rules(binding.obj, namespace, namespace)

    def _rules(self, binding: Mapping[str, Any], role_namespace: str, namespace: str) -> Iterator[Grant]:
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            role = self._store.find(self._cluster_roles, "", reference["name"])
        else:
            role = self._store.find(self._roles, role_namespace, reference["name"])
        if role is not None:
            for rule in role.obj.get("rules") or ():
                yield Grant(rule, namespace)


def _is_subject(user: User, binding: Mapping[str, Any], namespace: str) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "User" and name == user.name:
            return True
        if kind == "Group" and name in user.groups:
            return True
        where = subject.get("namespace") or namespace
        if kind == "ServiceAccount" and user.name == f"{_ACCOUNT}{where}:{name}":
            return True
    return False


def _allows(rule: Mapping[str, Any], request: RequestInfo) -> bool:
    if not _has(rule.get("verbs"), request.verb):
        return False
    if not request.is_resource:
        return any(_fits_path(pattern, request.path) for pattern in rule.get("nonResourceURLs") or ())
    names = rule.get("resourceNames")
    return (
        _has(rule.get("apiGroups"), request.group)
        and _has_resource(rule.get("resources") or (), request)
        and (not names or request.name in names)
    )


def _has(wanted: Any, value: str) -> bool:
    return bool(wanted) and ("*" in wanted or value in wanted)


def _has_resource(resources: Any, request: RequestInfo) -> bool:
    full = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    if "*" in resources or full in resources:
        return True
    return bool(request.subresource) and f"*/{request.subresource}" in resources


def _fits_path(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _refusal(user: User, request: RequestInfo) -> ApiError:
    if not request.is_resource:
        why = f'User "{user.name}" cannot {request.verb} path "{request.path}"'
        return ApiError(403, "Forbidden", f"forbidden: {why}", {})
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
    if request.resource == "namespaces" and request.name:
        where = f'in the namespace "{request.name}"'
    what = f'cannot {request.verb} resource "{resource}" in API group "{request.group}" {where}'
    return forbidden(request.resource, request.group, request.name, f'User "{user.name}" {what}')
