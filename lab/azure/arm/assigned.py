"""The `identity` block of a resource: the identities that are assigned to it.

https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/overview
"""

from typing import Any

from lab.azure.arm import errors
from lab.azure.arm.context import Call, Context
from lab.azure.arm.store import Resource
from lab.control.options import TENANT_ID

ASSIGN = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"


def check_identities(context: Context, block: dict[str, Any] | None, call: Call, action: str) -> None:
    """Raise unless the user-assigned identities of a block exist and the caller may assign them."""
    for identity_id in (block or {}).get("userAssignedIdentities") or {}:
        if context.directory.by_resource_id(identity_id) is None:
            text = f"Failed to find resource {identity_id}: the user assigned identity does not exist."
            raise errors.ArmError(400, "FailedIdentityOperation", text)
        if not context.access.is_allowed(call.caller.object_id, ASSIGN, identity_id):
            caller = call.caller
            raise errors.not_linked(caller.client_id, caller.object_id, action, str(call.path), identity_id)


def assign_identities(context: Context, resource: Resource) -> None:
    """Bring the directory into line with the resource's block, and fill in principal and client ids."""
    block = resource.body.get("identity")
    wanted = str((block or {}).get("type") or "None").lower()
    directory = context.directory
    if "systemassigned" in wanted and block is not None:
        own = directory.add_system_identity(resource.id)
        block |= {"principalId": own.object_id, "tenantId": TENANT_ID}
    elif own_now := directory.by_resource_id(resource.id):
        directory.remove(own_now.object_id)
    directory.detach(resource.id)
    if block is None or wanted == "none":
        resource.body.pop("identity", None)
        return
    for identity_id in block.get("userAssignedIdentities") or {}:
        if identity := directory.by_resource_id(identity_id):
            directory.attach(resource.id, identity)
            shown = {"principalId": identity.object_id, "clientId": identity.client_id}
            block["userAssignedIdentities"][identity_id] = shown


def forget_identities(context: Context, resource: Resource) -> None:
    """Take the resource's own identity out of the directory and detach the others."""
    context.directory.detach(resource.id)
    if own := context.directory.by_resource_id(resource.id):
        context.directory.remove(own.object_id)
