"""What the caller may do with a resource, as Azure Resource Manager works it out of all of their roles.

https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from azure.core.rest import HttpRequest
from azure.mgmt.resource.resources import ResourceManagementClient

from infra.azure.errors import translated

if TYPE_CHECKING:
    from infra.azure.client import Azure


API_VERSION = "2022-04-01"


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
    return not find_denied(azure, azure.resource_id(group, resource_type, name), [action])


def find_denied(azure: "Azure", scope: str, actions: Iterable[str]) -> list[str]:
    """Return what the caller may not do at a scope: the id of a subscription, a resource group or a resource.

    Raises:
        AccessDenied: the caller may not even ask.
        NotFound: there is no such scope.
    """
    name = scope.rsplit("/", 1)[-1]
    with (
        translated("Cannot ask for the caller's permissions", name=name, role="Reader", scope=name),
        azure.management(ResourceManagementClient) as client,
    ):
        found = list(_list(client, f"{scope}/providers/Microsoft.Authorization/permissions?api-version={API_VERSION}"))
    return [action for action in actions if not any(_allows(permission, action) for permission in found)]


def _list(client: ResourceManagementClient, url: str | None) -> Iterator[Mapping[str, Any]]:
    """Yield all pages: the client of Microsoft.Authorization does not know the subscription as a scope."""
    while url:
        response = client.send_request(HttpRequest("GET", url))
        response.raise_for_status()
        page = response.json()
        yield from page["value"]
        url = page.get("nextLink")


def _allows(permission: Mapping[str, Any], action: str) -> bool:
    return _matches(action, permission.get("actions")) and not _matches(action, permission.get("notActions"))


def _matches(action: str, patterns: Iterable[str] | None) -> bool:
    """Tell whether one of the patterns, in which `*` stands for anything, is the action's; case does not count."""
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), action, re.IGNORECASE) for pattern in patterns or ()
    )
