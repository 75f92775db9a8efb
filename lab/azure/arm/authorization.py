"""Microsoft.Authorization: role assignments, role definitions and the caller's permissions, at any scope.

https://learn.microsoft.com/rest/api/authorization
"""

import re
import uuid
from collections.abc import Iterable
from typing import Any

from lab.azure.access import Assignment
from lab.azure.arm import ids
from lab.azure.arm.bodies import dig
from lab.azure.arm.context import Call, Context
from lab.azure.arm.errors import ArmError, group_not_found, resource_not_found
from lab.azure.arm.operations import Reply
from lab.azure.roles import BUILT_IN, Role, find_role
from lab.control.options import TENANT_ID

ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
DEFINITIONS = "Microsoft.Authorization/roleDefinitions"
PERMISSIONS = "Microsoft.Authorization/permissions"
_IN_SERVICES = ("microsoft.containerservice/managedclusters/namespaces", "microsoft.keyvault/vaults/secrets")
"""Scopes that only the service knows: ARM does not ask whether there is such a thing."""


class RoleAssignments:
    """Role assignments; the lab's `Access` keeps them and decides by them.

    Args:
        context: the lab's parts.
    """

    type_name = ASSIGNMENTS

    def __init__(self, context: Context) -> None:
        self._context = context

    async def get(self, call: Call) -> Reply:
        """Answer one assignment."""
        found = self._context.access.find(call.path.name)
        if found is None or ids.key(found.scope) != ids.key(call.path.scope):
            text = f"The role assignment '{call.path.name}' is not found."
            raise ArmError(404, "RoleAssignmentNotFound", text)
        return Reply(200, self._present(found))

    async def list_all(self, call: Call) -> Reply:
        """Answer the assignments at, above and below a scope, as the filter narrows them."""
        only = call.query.get("$filter", "")
        principal = re.search(r"(?:principalId eq|assignedTo\()\s*'([^']+)'", only, re.IGNORECASE)
        below = "atscope()" not in only.lower()
        found: Iterable[Assignment] = self._context.access.list(call.path.scope, below=below)
        if principal:
            found = [assignment for assignment in found if assignment.principal_id == principal[1]]
        return Reply(200, {"value": [self._present(assignment) for assignment in found]})

    async def put(self, call: Call) -> Reply:
        """Give a role. There is no update: the same once more is a conflict."""
        name, given = call.path.name, dig(call.body, "properties", {})
        if not _is_guid(name):
            text = f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
            raise ArmError(400, "InvalidRoleAssignmentId", text)
        principal, role = str(given.get("principalId") or ""), str(given.get("roleDefinitionId") or "")
        if not _is_guid(principal) or not role:
            text = "The request to create role assignment is not valid: roleDefinitionId and principalId are required."
            raise ArmError(400, "InvalidCreateRoleAssignmentRequest", text)
        check_scope(self._context, call.path.scope)
        if self._context.directory.by_object_id(principal) is None:
            raise _principal_not_found(principal, TENANT_ID)
        kind = str(given.get("principalType") or "ServicePrincipal")
        return Reply(201, self._present(self._context.access.assign(call.path.scope, role, principal, name, kind)))

    async def delete(self, call: Call) -> Reply:
        """Take a role away; one that is not there is no error."""
        found = self._context.access.find(call.path.name)
        if found is None or ids.key(found.scope) != ids.key(call.path.scope):
            return Reply(204)
        self._context.access.remove(found.name)
        return Reply(200, self._present(found))

    def _present(self, assignment: Assignment) -> dict[str, Any]:
        moment = assignment.created_at.isoformat()
        return {
            "id": f"{assignment.scope}/providers/{ASSIGNMENTS}/{assignment.name}",
            "name": assignment.name,
            "type": ASSIGNMENTS,
            "properties": {
                "roleDefinitionId": _definition_id(assignment.role, assignment.scope),
                "principalId": assignment.principal_id,
                "principalType": assignment.principal_type,
                "scope": assignment.scope,
                "condition": None,
                "createdOn": moment,
                "updatedOn": moment,
            },
        }


class Permissions:
    """What the caller may do at a scope: an entry for each role that is in effect.

    https://learn.microsoft.com/rest/api/authorization/permissions

    Args:
        context: the lab's parts.
    """

    type_name = PERMISSIONS

    def __init__(self, context: Context) -> None:
        self._context = context

    async def list_all(self, call: Call) -> Reply:
        """Answer the actions of the caller's roles at and above the scope."""
        check_scope(self._context, call.path.scope)
        roles = self._context.access.roles_of(call.caller.object_id, call.path.scope)
        return Reply(200, {"value": [_present_permissions(role) for role in roles]})


class RoleDefinitions:
    """The built-in roles. There are no custom ones.

    Args:
        context: the lab's parts.
    """

    type_name = DEFINITIONS
    is_public = True
    """Whoever signs in may read them in the tenant; elsewhere it takes a right."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def get(self, call: Call) -> Reply:
        """Answer one role by its GUID."""
        role = find_role(call.path.name)
        if role is None:
            text = f"The specified role definition with ID '{call.path.name}' does not exist."
            raise ArmError(404, "RoleDefinitionDoesNotExist", text)
        return Reply(200, _present_role(role, call.path.scope))

    async def list_all(self, call: Call) -> Reply:
        """Answer all roles, or those of a name or type."""
        only = call.query.get("$filter", "")
        wanted = dict(re.findall(r"(\w+) eq '([^']*)'", only))
        if wanted.get("type", "BuiltInRole").lower() != "builtinrole":
            return Reply(200, {"value": []})
        name = wanted.get("roleName", "").lower()
        found = [role for role in BUILT_IN if name in ("", role.name.lower())]
        return Reply(200, {"value": [_present_role(role, call.path.scope) for role in found]})


def check_scope(context: Context, scope_id: str) -> None:
    """Raise 404 unless there is something at a scope."""
    scope, store = ids.parse(scope_id), context.store
    if scope.type.lower() in _IN_SERVICES:
        scope = scope.owner
    if not scope.group or store.find(str(scope)):
        return
    if store.find(f"/subscriptions/{scope.subscription}/resourceGroups/{scope.group}") is None:
        raise group_not_found(scope.group)
    raise resource_not_found(f"{scope.type}/{scope.name}", scope.group)


def _definition_id(role: Role, scope: str) -> str:
    subscription = ids.parse(scope).subscription
    prefix = f"/subscriptions/{subscription}" if subscription else ""
    return f"{prefix}/providers/{DEFINITIONS}/{role.guid}"


def _present_role(role: Role, scope: str) -> dict[str, Any]:
    shown = {"roleName": role.name, "type": "BuiltInRole", "description": role.description}
    properties = {**shown, "assignableScopes": ["/"], "permissions": [_present_permissions(role)]}
    return {"id": _definition_id(role, scope), "name": role.guid, "type": DEFINITIONS, "properties": properties}


def _present_permissions(role: Role) -> dict[str, Any]:
    return {
        "actions": list(role.actions),
        "notActions": list(role.not_actions),
        "dataActions": list(role.data_actions),
        "notDataActions": list(role.not_data_actions),
    }


def _is_guid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _principal_not_found(principal: str, tenant: str) -> ArmError:
    return ArmError(
        400,
        "PrincipalNotFound",
        f"Principal {principal.replace('-', '')} does not exist in the directory {tenant}. Check that you have the "
        "correct principal ID. If you are creating this principal and then immediately assigning a role, this error "
        "might be related to a replication delay. In this case, set the role assignment principalType property to a "
        "value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
    )
