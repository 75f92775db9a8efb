"""Microsoft.ManagedIdentity: user-assigned identities and their federated credentials.

https://learn.microsoft.com/rest/api/managedidentity
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from lab.azure.arm import ids, names
from lab.azure.arm.context import Call, Context
from lab.azure.arm.errors import ArmError
from lab.azure.arm.kinds import Kind
from lab.azure.arm.operations import Reply
from lab.azure.arm.store import Resource
from lab.azure.directory import Principal
from lab.control.options import TENANT_ID


class UserAssignedIdentities(Kind):
    """User-assigned identities: each is a principal in the directory."""

    type_name = "Microsoft.ManagedIdentity/userAssignedIdentities"
    name_rule = names.IDENTITY_NAME
    has_system_data = True
    is_long = False
    has_state = False
    rank = 2

    async def make(self, resource: Resource, call: Call) -> None:
        """Add the principal."""
        principal = self.context.directory.add_user_identity(resource.id)
        resource.body["properties"] = {
            "tenantId": TENANT_ID,
            "principalId": principal.object_id,
            "clientId": principal.client_id,
        }

    async def remove(self, resource: Resource) -> None:
        """Take the principal out; role assignments to it stay behind."""
        self.context.directory.remove(resource.properties["principalId"])


class FederatedCredentials(Kind):
    """Federated credentials: at most 20 an identity, written one at a time."""

    type_name = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
    methods = ("GET", "PUT", "DELETE")
    name_rule = names.FEDERATED_NAME
    is_tracked = False
    is_long = False
    has_state = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._writing: set[str] = set()

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check issuer, subject and audiences, and that nobody else is writing."""
        given = body["properties"]
        if not given.get("issuer") or not given.get("subject") or not given.get("audiences"):
            text = "The request format was unexpected. Federated Identity Credential must specify 'issuer', 'subject' "
            raise ArmError(400, "BadRequest", text + "and 'audience'.")
        if not str(given["issuer"]).startswith("https://") or len(given["audiences"]) != 1:
            text = "The request format was unexpected. Issuer must be an https URL and there must be one audience."
            raise ArmError(400, "BadRequest", text)
        body["properties"] = {name: given[name] for name in ("issuer", "subject", "audiences")}

    async def put(self, call: Call) -> Reply:
        """Create or replace one, alone."""
        async with self._alone(call):
            return await super().put(call)

    async def delete(self, call: Call) -> Reply:
        """Delete one, alone."""
        async with self._alone(call):
            return await super().delete(call)

    async def make(self, resource: Resource, call: Call) -> None:
        """Let the directory trust the issuer's tokens."""
        self.context.directory.add_federated_credential(
            self._identity(resource).object_id,
            resource.name,
            resource.properties["issuer"],
            resource.properties["subject"],
            tuple(resource.properties["audiences"]),
        )

    async def remove(self, resource: Resource) -> None:
        """Trust them no longer."""
        self.context.directory.remove_federated_credential(self._identity(resource).object_id, resource.name)

    def _identity(self, resource: Resource) -> Principal:
        found = self.context.directory.by_resource_id(str(ids.parse(resource.id).owner))
        if found is None:
            raise ArmError(404, "ParentResourceNotFound", f"The identity of {resource.id} could not be found.")
        return found

    @asynccontextmanager
    async def _alone(self, call: Call) -> AsyncIterator[None]:
        identity = ids.key(str(call.path.owner))
        if identity in self._writing:
            raise ArmError(
                409,
                "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
                "Too many Federated Identity Credentials are written concurrently for the managed identity "
                f"'{identity}'. Concurrent Federated Identity Credentials writes under the same managed identity are "
                "not supported.",
            )
        self._writing.add(identity)
        try:
            await asyncio.sleep(self.context.options.operation_seconds / 4)
            yield
        finally:
            self._writing.discard(identity)
