"""Role assignments of the built-in roles that the stack needs. Azure evaluates them where they are used.

The name of an assignment is made of scope, role and principal, so that making it twice is making it once.
https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
"""

import uuid
from dataclasses import dataclass

from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

from infra.azure.credentials import managed
from infra.azure.errors import translated
from infra.errors import Conflict, InvalidInput
from infra.settings import Settings

ROLES = {
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
}
ASSIGNER = "Role Based Access Control Administrator"
PROPAGATING = ("PrincipalNotFound",)
"""A new identity is not known everywhere at once."""


@dataclass(frozen=True)
class Assignment:
    """A role for a principal at a scope.

    Args:
        role: a key of ROLES.
        scope: an ARM id.
        principal_id: the principal's object id.
        principal_kind: "ServicePrincipal" or "User".
    """

    role: str
    scope: str
    principal_id: str
    principal_kind: str = "ServicePrincipal"

    @property
    def name(self) -> str:
        """Its deterministic GUID."""
        parts = (self.scope.lower(), get_role_id(self.role), self.principal_id.lower())
        return str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join(parts)))


def get_role_id(role: str) -> str:
    """Return a built-in role's GUID.

    Raises:
        InvalidInput: it is none of ROLES.
    """
    if role not in ROLES:
        raise InvalidInput("The role is not known here", name=role, fix=f"take one of {', '.join(ROLES)}")
    return ROLES[role]


def is_assigned(wanted: Assignment, settings: Settings) -> bool:
    """Tell whether the principal has the role at the scope or above it, by whatever assignment."""
    with (
        translated("Cannot look at the role assignments", name=wanted.scope, role="Reader", scope=wanted.scope),
        managed(AuthorizationManagementClient, settings) as client,
    ):
        found = list(
            client.role_assignments.list_for_scope(wanted.scope, filter=f"principalId eq '{wanted.principal_id}'")
        )
    return any(
        str(one.principal_id).lower() == wanted.principal_id.lower()
        and str(one.role_definition_id).lower().endswith(get_role_id(wanted.role))
        and _is_within(wanted.scope, str(one.scope or ""))
        for one in found
    )


def assign(wanted: Assignment, settings: Settings) -> bool:
    """Give the principal the role, unless it has it.

    Returns:
        Whether it is new; it takes effect some seconds to minutes later then.

    Raises:
        NotYetPropagated: Azure does not know the principal yet.
        AccessDenied: the caller may not assign roles.
    """
    parameters = RoleAssignmentCreateParameters(
        role_definition_id=f"/subscriptions/{settings.subscription_id}"
        f"/providers/Microsoft.Authorization/roleDefinitions/{get_role_id(wanted.role)}",
        principal_id=wanted.principal_id,
        principal_type=wanted.principal_kind,
    )
    try:
        with (
            translated(
                f"Cannot assign the role {wanted.role}",
                name=wanted.scope,
                role=ASSIGNER,
                scope=wanted.scope,
                propagating=PROPAGATING,
            ),
            managed(AuthorizationManagementClient, settings) as client,
        ):
            client.role_assignments.create(wanted.scope, wanted.name, parameters)
    except Conflict as error:
        if error.code != "RoleAssignmentExists":
            raise
        return False
    return True


def unassign(wanted: Assignment, settings: Settings) -> None:
    """Take the assignment that `assign` made away; an absent one is left at that."""
    with (
        translated(f"Cannot remove the role {wanted.role}", name=wanted.scope, role=ASSIGNER, scope=wanted.scope),
        managed(AuthorizationManagementClient, settings) as client,
    ):
        client.role_assignments.delete(wanted.scope, wanted.name)


def _is_within(scope: str, other: str) -> bool:
    """Tell whether `scope` is `other` or below it."""
    inner, outer = scope.lower().rstrip("/") + "/", other.lower().rstrip("/") + "/"
    return inner.startswith(outer)
