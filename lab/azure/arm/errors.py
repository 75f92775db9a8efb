"""Azure Resource Manager's errors: status, code and text as Azure words them.

https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
"""

from collections.abc import Mapping
from typing import Any

from lab.azure.errors import AzureError


class ArmError(AzureError):
    """A refusal that may say which property it is about.

    Args:
        status: the HTTP status.
        code: Azure's code, as "ResourceNotFound".
        message: Azure's text. Never a secret value.
        target: the property that it is about.
    """

    def __init__(self, status: int, code: str, message: str, target: str = "") -> None:
        super().__init__(status, code, message)
        self.target = target


def detail(error: AzureError) -> dict[str, Any]:
    """The object that stands under "error" in a body."""
    target = getattr(error, "target", "")
    return {"code": error.code, "message": error.message, **({"target": target} if target else {})}


def not_authorized(client_id: str, object_id: str, action: str, scope: str) -> ArmError:
    """The caller may not do this."""
    return ArmError(
        403,
        "AuthorizationFailed",
        f"The client '{client_id}' with object id '{object_id}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh "
        "your credentials.",
    )


def not_linked(client_id: str, object_id: str, action: str, scope: str, linked: str) -> ArmError:
    """The caller may write the resource but not use another one that it names."""
    return ArmError(
        403,
        "LinkedAuthorizationFailed",
        f"The client '{client_id}' with object id '{object_id}' has permission to perform action '{action}' on scope "
        f"'{scope}'; however, it does not have permission to perform action(s) "
        "'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action' on the linked scope(s) "
        f"'{linked}' (respectively) or the linked scope(s) are invalid.",
    )


def group_not_found(name: str) -> ArmError:
    """No such resource group."""
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def group_being_deleted(name: str) -> ArmError:
    """Nothing can be put into a group that is being deleted."""
    return ArmError(
        409,
        "ResourceGroupBeingDeleted",
        f"The resource group '{name}' is in deprovisioning state and cannot perform this operation.",
    )


def group_not_deleted(name: str, failed: Mapping[str, Exception]) -> ArmError:
    """Some of what is in a group could not be deleted; `failed` says which and why."""
    reasons = " ".join(f"Deleting resource '{item}' failed: {why}." for item, why in failed.items())
    return ArmError(
        409,
        "ResourceGroupDeletionBlocked",
        f"Deletion of resource group '{name}' failed as resources with identifiers '{', '.join(failed)}' could not be "
        f"deleted. The provisioning state of the resource group will be rolled back. {reasons}",
    )


def resource_not_found(type_and_name: str, group: str) -> ArmError:
    """No such resource."""
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{type_and_name}' under resource group '{group}' was not found. For more details please go to "
        "https://aka.ms/ARMResourceNotFoundFix",
    )


def parent_not_found(name: str) -> ArmError:
    """A nested resource whose parent is not there."""
    return ArmError(
        404,
        "ParentResourceNotFound",
        f"Failed to perform 'write' on resource(s), because the parent resource '{name}' could not be found.",
    )


def reference_not_found(referenced: str, by: str) -> ArmError:
    """A resource names another one that is not there."""
    return ArmError(
        400,
        "InvalidResourceReference",
        f"Resource {referenced} referenced by resource {by} was not found. Please make sure that the referenced "
        "resource exists, and that both resources are in the same region.",
    )


def change_not_allowed(property_path: str, status: int = 400) -> ArmError:
    """A property that cannot be changed in place."""
    return ArmError(
        status, "PropertyChangeNotAllowed", f"Changing property '{property_path}' is not allowed.", property_path
    )


def invalid_parameter(property_path: str, reason: str = "") -> ArmError:
    """A property that is missing or has a value it must not have."""
    text = reason or f"Required parameter '{property_path}' is missing (null)."
    return ArmError(400, "InvalidParameter", text, property_path)


def busy(operation_url: str) -> ArmError:
    """Another operation on the resource is under way."""
    return ArmError(
        409,
        "AnotherOperationInProgress",
        "Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: "
        f"{operation_url}.",
    )


def not_supported(method: str, type_name: str) -> ArmError:
    """The type is known and does not take this method."""
    return ArmError(
        405, "MethodNotAllowed", f"The requested resource '{type_name}' does not support http method '{method}'."
    )


def type_not_found(namespace: str, type_name: str) -> ArmError:
    """The lab has no such type."""
    return ArmError(
        404,
        "InvalidResourceType",
        f"The resource type '{type_name}' could not be found in the namespace '{namespace}' for api version "
        "'any'. The lab serves only what the walkthrough needs.",
    )
