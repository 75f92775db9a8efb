"""What lies around the resources: tenants, the subscription, its regions, providers and the list of all resources.

https://learn.microsoft.com/rest/api/resources
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lab.azure.arm.api_versions import versions_of
from lab.azure.arm.context import Call, Context
from lab.azure.arm.errors import ArmError, group_not_found
from lab.azure.arm.names import REGIONS
from lab.azure.arm.operations import Reply
from lab.control.options import SUBSCRIPTION_ID, TENANT_ID


class Tenants:
    """The one tenant."""

    type_name = "Microsoft.Resources/tenants"

    async def list_all(self, call: Call) -> Reply:
        """Answer the tenant of the caller."""
        tenant = {"id": f"/tenants/{TENANT_ID}", "tenantId": TENANT_ID, "displayName": "Keyturn lab"}
        return Reply(200, {"value": [{**tenant, "defaultDomain": "lab.onmicrosoft.com", "countryCode": "US"}]})


class Subscriptions:
    """The one subscription.

    Args:
        context: the lab's parts.
    """

    type_name = "Microsoft.Resources/subscriptions"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def list_all(self, call: Call) -> Reply:
        """Answer the subscription, if the caller has any right in it."""
        scope = f"/subscriptions/{SUBSCRIPTION_ID}"
        has_role = any(
            assignment.principal_id == call.caller.object_id for assignment in self._context.access.list(scope)
        )
        return Reply(200, {"value": [_subscription()] if has_role else []})

    async def get(self, call: Call) -> Reply:
        """Answer the subscription."""
        return Reply(200, _subscription())


class Locations:
    """The regions."""

    type_name = "Microsoft.Resources/subscriptions/locations"

    async def list_all(self, call: Call) -> Reply:
        """Answer all regions."""
        base = f"/subscriptions/{SUBSCRIPTION_ID}/locations"
        found = [
            {"id": f"{base}/{region}", "name": region, "displayName": region, "type": "Region"} for region in REGIONS
        ]
        return Reply(200, {"value": found})


class Providers:
    """Resource providers, registered or not.

    Args:
        context: the lab's parts.
        types: all resource types.
    """

    type_name = "Microsoft.Resources/subscriptions/providers"

    def __init__(self, context: Context, types: Iterable[str]) -> None:
        self._registrations = context.registrations
        self._types: dict[str, list[str]] = {}
        for resource_type in types:
            namespace, _, kind = resource_type.partition("/")
            self._types.setdefault(namespace, []).append(kind)

    async def list_all(self, call: Call) -> Reply:
        """Answer all providers."""
        return Reply(200, {"value": [self._present(namespace) for namespace in self._types]})

    async def get(self, call: Call) -> Reply:
        """Answer one provider."""
        return Reply(200, self._present(self._find(call)))

    async def register(self, call: Call) -> Reply:
        """Begin to register a provider."""
        namespace = self._find(call)
        self._registrations.register(namespace)
        return Reply(200, self._present(namespace))

    def _find(self, call: Call) -> str:
        for namespace in self._types:
            if namespace.lower() == call.path.namespace.lower():
                return namespace
        text = f"The resource namespace '{call.path.namespace}' is invalid."
        raise ArmError(404, "InvalidResourceNamespace", text)

    def _present(self, namespace: str) -> dict[str, Any]:
        kinds = [
            {"resourceType": kind, "locations": list(REGIONS), "apiVersions": list(reversed(versions_of(namespace)))}
            for kind in self._types[namespace]
        ]
        base = f"/subscriptions/{SUBSCRIPTION_ID}/providers/{namespace}"
        shown = {
            "registrationPolicy": "RegistrationRequired",
            "registrationState": self._registrations.state(namespace),
        }
        return {"id": base, "namespace": namespace, **shown, "resourceTypes": kinds}


class Resources:
    """All resources of a group or of the subscription.

    Args:
        context: the lab's parts.
    """

    type_name = "Microsoft.Resources/subscriptions/resources"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def list_all(self, call: Call) -> Reply:
        """Answer what has a region, without the properties; a filter may ask for a type or a name."""
        scope, store = str(call.path.owner), self._context.store
        if call.path.group and store.find(scope) is None:
            raise group_not_found(call.path.group)
        wanted = dict(re.findall(r"(\w+) eq '([^']*)'", call.query.get("$filter", "").lower()))
        found = [
            _brief(resource.id, resource.name, resource.type, resource.body)
            for resource in store.within(scope)
            if resource.location
            and resource.type.count("/") == 1
            and {"resourceGroups", "providers"} <= set(resource.id.split("/"))
        ]
        return Reply(200, {"value": [entry for entry in found if _fits(entry, wanted)]})


def _brief(resource_id: str, name: str, type_name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: body[key] for key in ("location", "tags", "kind", "sku", "identity") if key in body}
    return {"id": resource_id, "name": name, "type": type_name, **shown}


def _fits(brief: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    pairs = (("resourcetype", str(brief["type"])), ("name", str(brief["name"])))
    return all(wanted.get(key, value.lower()) == value.lower() for key, value in pairs)


def _subscription() -> dict[str, Any]:
    shown = {"subscriptionId": SUBSCRIPTION_ID, "tenantId": TENANT_ID, "displayName": "Keyturn lab", "state": "Enabled"}
    policies = {"locationPlacementId": "Public_2014-09-01", "quotaId": "Lab", "spendingLimit": "Off"}
    return {"id": f"/subscriptions/{SUBSCRIPTION_ID}", **shown, "subscriptionPolicies": policies}
