"""Principals of Entra ID in a managed cluster: who they are by their token, and what Azure's roles let them do.

https://learn.microsoft.com/azure/aks/concepts-identity
"""

from lab.azure.backends import EntraSpec, Tenant
from lab.cluster.api.errors import unauthorized
from lab.cluster.api.requests import RequestInfo
from lab.cluster.api.security.users import AUTHENTICATED, User

_KIND = "Microsoft.ContainerService/managedClusters"
_OBJECT_ID = "oid"
_ACTIONS = {
    **dict.fromkeys(("get", "list", "watch"), "read"),
    **dict.fromkeys(("create", "update", "patch"), "write"),
    **dict.fromkeys(("delete", "deletecollection"), "delete"),
}


class EntraUsers:
    """The principals of one cluster's tenant.

    Args:
        tenant: Entra ID and Azure RBAC.
        resource_id: the cluster's ARM id.
        spec: how the cluster takes them; None when it does not. It may change.
    """

    def __init__(self, tenant: Tenant, resource_id: str, spec: EntraSpec | None) -> None:
        self._tenant, self._resource_id = tenant, resource_id
        self.spec = spec

    def get_user(self, token: str) -> User:
        """The user of an access token: a principal's name is its object id.

        Raises:
            ApiError: 401 for a token that is not Entra ID's, not for clusters, or has expired.
        """
        found = self._tenant.find_principal(token) if self.spec else None
        if found is None:
            raise unauthorized()
        object_id, groups = found
        return User(object_id, (*groups, AUTHENTICATED), extra={_OBJECT_ID: (object_id,)})

    def is_ruled_by_azure(self, user: User) -> bool:
        """Whether Azure's roles say what a user may, and no binding that names the user or its groups."""
        return bool(self.spec and self.spec.azure_rbac and _OBJECT_ID in user.extra)

    def is_allowed(self, user: User, request: RequestInfo) -> bool:
        """Whether Azure's roles let a user do what a request asks for."""
        scope = f"{self._resource_id}/namespaces/{request.namespace}" if request.namespace else self._resource_id
        return request.is_resource and self._tenant.is_allowed(user.name, _get_action(request), scope)


def _get_action(request: RequestInfo) -> str:
    """The data action that a request needs, as "Microsoft.ContainerService/managedClusters/apps/deployments/write"."""
    resource = f"{request.group}/{request.resource}" if request.group else request.resource
    if (request.resource, request.subresource) == ("pods", "exec"):
        return f"{_KIND}/pods/exec/action"
    return f"{_KIND}/{resource}/{_ACTIONS.get(request.verb, f'{request.verb}/action')}"
