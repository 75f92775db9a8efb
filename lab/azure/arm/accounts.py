"""Microsoft.Storage: accounts, their blob service and its containers.

https://learn.microsoft.com/rest/api/storagerp
"""

from typing import Any

from lab.azure.arm import errors, ids, names
from lab.azure.arm.account_rules import CONTAINER_RULES, RULES
from lab.azure.arm.context import Call
from lab.azure.arm.errors import ArmError
from lab.azure.arm.ids import Path
from lab.azure.arm.kinds import Kind, Monitor
from lab.azure.arm.operations import Reply
from lab.azure.arm.store import Resource
from lab.azure.blobs.store import Account, Container

SERVICES = ("blob", "dfs", "file", "queue", "table", "web")
FIXED = ("isHnsEnabled", "isNfsV3Enabled")


class Accounts(Kind):
    """Storage accounts: names are unique everywhere; a new one is answered with 202 and a Location."""

    type_name = "Microsoft.Storage/storageAccounts"
    name_rule = names.ACCOUNT_NAME
    rules = RULES
    created = 202
    put_monitor = Monitor.LOCATION
    segments = ("asyncoperations", "asyncoperations")

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check what cannot change; fill in defaults and endpoints."""
        given, name = body["properties"], call.path.name
        if old:
            _check_changes(body, old)
        else:
            self.context.storage.create(str(call.path), name, body["location"])
        body["sku"]["tier"] = str(body["sku"]["name"]).partition("_")[0]
        given.setdefault("accessTier", "Hot")
        given.setdefault("supportsHttpsTrafficOnly", True)
        given.setdefault("allowBlobPublicAccess", False)
        given.setdefault("minimumTlsVersion", "TLS1_2")
        given["primaryEndpoints"] = {service: f"https://{name}.{service}.core.windows.net/" for service in SERVICES}
        given |= {"primaryLocation": body["location"], "statusOfPrimary": "available"}
        given["creationTime"] = old.properties["creationTime"] if old else self.context.now().isoformat()

    async def put(self, call: Call) -> Reply:
        """Create: 202 with an empty body; update: done when answered."""
        found = self.store.find(str(call.path))
        reply = await super().put(call)
        if found is not None and found.operation and found.is_real:
            await found.operation.done.wait()
            return Reply(200, self.present(found))
        return Reply(reply.status, None, reply.headers) if reply.status == 202 else reply

    async def make(self, resource: Resource, call: Call) -> None:
        """Give the account its blob service."""
        service = f"{resource.id}/blobServices/default"
        if self.store.find(service) is None:
            self.store.put(Resource(service, BlobServices.type_name, "default", is_real=True))

    async def delete(self, call: Call) -> Reply:
        """Delete an account with all that it holds, at once."""
        resource = self.store.find(str(call.path))
        if resource is None:
            return Reply(204)
        await self.dispose(resource)
        return Reply(200)

    async def remove(self, resource: Resource) -> None:
        """Drop the data."""
        self.context.storage.delete(resource.name)


class BlobServices(Kind):
    """The blob service of an account; there is one, "default"."""

    type_name = "Microsoft.Storage/storageAccounts/blobServices"
    methods = ("GET",)
    is_tracked = False
    is_long = False
    has_state = False


class Containers(Kind):
    """Blob containers. The data plane makes them too, so the blob store is asked each time."""

    type_name = "Microsoft.Storage/storageAccounts/blobServices/containers"
    name_rule = names.CONTAINER_NAME
    rules = CONTAINER_RULES
    is_tracked = False
    is_long = False
    has_state = False

    def present(self, resource: Resource) -> dict[str, Any]:
        """The body, with the service's view of the container."""
        body = super().present(resource)
        shown = {"publicAccess": "None", "leaseStatus": "Unlocked", "leaseState": "Available"}
        body["properties"] = {**shown, "hasImmutabilityPolicy": False, "hasLegalHold": False, **resource.properties}
        if container := self._account(ids.parse(resource.id)).find_container(resource.name):
            body["etag"] = container.etag
            body["properties"]["lastModifiedTime"] = container.created.isoformat()
        return body

    async def get(self, call: Call) -> Reply:
        """Answer one container."""
        self._observe(call)
        return await super().get(call)

    async def list_all(self, call: Call) -> Reply:
        """Answer all containers of the account."""
        self._observe(call)
        return await super().list_all(call)

    async def put(self, call: Call) -> Reply:
        """Create a container, or change its settings."""
        self._observe(call)
        return await super().put(call)

    async def delete(self, call: Call) -> Reply:
        """Delete a container and its blobs."""
        self._observe(call)
        return await super().delete(call)

    async def make(self, resource: Resource, call: Call) -> None:
        """Create it where the blobs are."""
        account = self._account(call.path)
        if account.find_container(resource.name) is None:
            account.create_container(resource.name)

    async def remove(self, resource: Resource) -> None:
        """Drop it and its blobs."""
        self._account(ids.parse(resource.id)).delete_container(resource.name)

    def require(self, path: Path) -> Resource:
        """The container, or the storage provider's own error."""
        found = self.store.find(str(path))
        if found is None:
            self.require_parent(path)
            raise ArmError(404, "ContainerNotFound", "The specified container does not exist.")
        return found

    def require_parent(self, path: Path) -> str:
        """The blob service; when the account is missing, that is the error."""
        if path.group and self.context.storage.find(path.names[0].lower()) is None:
            super().require_parent(path.owner.owner)
            raise errors.resource_not_found(f"{Accounts.type_name}/{path.names[0]}", path.group)
        return super().require_parent(path)

    def _account(self, path: Path) -> Account:
        account = self.context.storage.find(path.names[0].lower())
        if account is None:
            raise errors.resource_not_found(f"{Accounts.type_name}/{path.names[0]}", path.group)
        return account

    def _observe(self, call: Call) -> None:
        service = self.require_parent(call.path)
        present: dict[str, Container] = self._account(call.path).containers
        for known in self.store.within(service, self.type_name):
            if known.name not in present:
                self.store.delete(known.id)
        for name in present:
            if self.store.find(f"{service}/containers/{name}") is None:
                self.store.put(Resource(f"{service}/containers/{name}", self.type_name, name, is_real=True))


def _check_changes(body: dict[str, Any], old: Resource) -> None:
    for name in FIXED:
        if bool(body["properties"].get(name)) != bool(old.properties.get(name)):
            text = f"The property '{name}' was specified in the input, but it cannot be updated."
            raise ArmError(400, "AccountPropertyCannotBeUpdated", text, name)
    if body["kind"] != old.body["kind"]:
        raise errors.change_not_allowed("kind", status=409)
    if str(body["sku"]["name"]).partition("_")[0] != old.body["sku"]["tier"]:
        raise errors.change_not_allowed("sku.name", status=409)
