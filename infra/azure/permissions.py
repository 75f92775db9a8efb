"""What the caller may do with a resource, as Azure Resource Manager works it out of all of their roles.

https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from azure.mgmt.authorization import AuthorizationManagementClient

from infra.azure.errors import translated

if TYPE_CHECKING:
    from infra.azure.client import Azure


def has_permission(azure: "Azure", group: str, resource_type: str, name: str, action: str) -> bool:
    """Say whether the caller may do something with a resource.

    Args:
        azure: the sign-in.
        group: the resource group.
        resource_type: such as "Microsoft.KeyVault/vaults".
        name: the resource's name.
        action: such as "Microsoft.KeyVault/vaults/write".

    Raises:
        AccessDenied: the caller may not even ask.
        NotFound: there is no such resource.
    """
    provider, _, kind = resource_type.partition("/")
    with (
        translated("Cannot ask for the caller's permissions", name=name, role="Reader", scope=name),
        azure.management(AuthorizationManagementClient) as client,
    ):
        found = list(client.permissions.list_for_resource(group, provider, "", kind, name))
    return any(
        _matches(action, permission.actions) and not _matches(action, permission.not_actions) for permission in found
    )


def _matches(action: str, patterns: Iterable[str] | None) -> bool:
    """Tell whether one of the patterns, in which `*` stands for anything, is the action's; case does not count."""
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), action, re.IGNORECASE) for pattern in patterns or ()
    )
