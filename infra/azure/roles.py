"""Role assignments of the built-in roles that a stack needs. Azure evaluates them where they are used.

The name of an assignment is made of scope, role and principal, so that making it twice is making it once.
https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
"""

import uuid

from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

from infra.azure.arm import ArmKind
from infra.azure.errors import translated
from infra.azure.identities import Identities
from infra.azure.machines import Machines
from infra.errors import Conflict, InvalidInput, NotFound
from infra.provisioning.kinds import Found, OnProgress, ignore
from infra.provisioning.resources import Machine, RoleAssignment

ROLES = {
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
}
PROPAGATING = ("PrincipalNotFound",)
"""A new identity is not known everywhere at once."""


class RoleAssignments(ArmKind[RoleAssignment, AuthorizationManagementClient]):
    """Role assignments on resources of one group."""

    resource = RoleAssignment
    action = "Microsoft.Authorization/roleAssignments/write"
    role = "Role Based Access Control Administrator"
    open_client = AuthorizationManagementClient

    def find(self, wanted: RoleAssignment) -> Found | None:
        """Return the assignment if the principal has the role on the scope or above it, by whatever assignment."""
        scope = self._scope_id(wanted)
        try:
            principal_id, _ = self._get_principal(wanted)
        except NotFound:
            return None
        with (
            translated("Cannot look at the role assignments", name=scope, role="Reader", scope=scope),
            self.azure.management(AuthorizationManagementClient) as client,
        ):
            found = list(client.role_assignments.list_for_scope(scope, filter=f"principalId eq '{principal_id}'"))
        role_id = _get_role_id(wanted.name)
        is_assigned = any(
            str(assignment.principal_id).lower() == principal_id.lower()
            and str(assignment.role_definition_id).lower().endswith(role_id)
            and _is_within(scope, str(assignment.scope or ""))
            for assignment in found
        )
        return Found(wanted) if is_assigned else None

    def put(self, wanted: RoleAssignment, on_progress: OnProgress = ignore) -> None:
        """Assign the role, unless it is assigned. It takes effect some seconds to minutes later.

        Raises:
            NotFound: the principal does not exist.
            NotYetPropagated: Azure does not know the principal everywhere yet.
            AccessDenied: the caller may not assign roles.
        """
        scope, role_id = self._scope_id(wanted), _get_role_id(wanted.name)
        principal_id, principal_type = self._get_principal(wanted)
        parameters = RoleAssignmentCreateParameters(
            role_definition_id=f"/subscriptions/{self.azure.settings.subscription_id}"
            f"/providers/Microsoft.Authorization/roleDefinitions/{role_id}",
            principal_id=principal_id,
            principal_type=principal_type,
        )
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join((scope.lower(), role_id, principal_id.lower()))))
        what = f"Cannot assign the role {wanted.name}"
        try:
            with (
                translated(what, name=scope, role=self.role, scope=scope, propagating=PROPAGATING),
                self.azure.management(AuthorizationManagementClient) as client,
            ):
                client.role_assignments.create(scope, name, parameters)
        except Conflict as error:
            if error.code != "RoleAssignmentExists":
                raise

    def _scope_id(self, wanted: RoleAssignment) -> str:
        scope = wanted.scope
        if scope.PARENT is None:
            return self.azure.resource_id(self.group, scope.TYPE, scope.name)
        parent = self.azure.resource_id(self.group, scope.PARENT.TYPE, scope.parent)
        return f"{parent}/{scope.TYPE.rsplit('/', 1)[-1]}/{scope.name}"

    def _get_principal(self, wanted: RoleAssignment) -> tuple[str, str]:
        """Return object id and type of the principal: looked up, never typed."""
        if wanted.principal is None:
            caller = self.azure.get_caller()
            return caller.object_id, caller.kind
        kind = Machines if isinstance(wanted.principal, Machine) else Identities
        return kind(self.azure, self.group).get(wanted.principal.name).principal_id, "ServicePrincipal"


def _get_role_id(role: str) -> str:
    if role not in ROLES:
        raise InvalidInput("The role is not known here", name=role, fix=f"Use one of {', '.join(ROLES)}")
    return ROLES[role]


def _is_within(scope: str, other: str) -> bool:
    """Tell whether `scope` is `other` or below it."""
    inner, outer = scope.lower().rstrip("/") + "/", other.lower().rstrip("/") + "/"
    return inner.startswith(outer)
