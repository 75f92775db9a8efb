"""Microsoft.KeyVault: vaults, and deleted ones that wait to be recovered or purged.

https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lab.azure.arm import names
from lab.azure.arm.bodies import dig
from lab.azure.arm.context import Call
from lab.azure.arm.errors import ArmError
from lab.azure.arm.ids import Path
from lab.azure.arm.kinds import Action, Kind, Monitor
from lab.azure.arm.operations import Reply
from lab.azure.arm.rules import check
from lab.azure.arm.store import Resource
from lab.azure.arm.vault_rules import NEW_RULES, POLICIES_OR_ROLES, RBAC_BY_DEFAULT, RULES

IRREVERSIBLE = "Enabling the {what} for a vault is an irreversible action."


class Vaults(Kind):
    """Vaults. Their names are unique everywhere; deleting is soft."""

    type_name = "Microsoft.KeyVault/vaults"
    name_rule = names.VAULT_NAME
    has_system_data = True
    created = 200
    making_state = updating_state = "RegisteringDns"
    rules, new_rules = RULES, NEW_RULES
    put_monitor = Monitor.NONE

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check what cannot be taken back, fill in defaults, refuse a name that is in use."""
        given = body["properties"]
        _check_changes(given, old)
        given.setdefault("enableSoftDelete", True)
        given.setdefault(
            "softDeleteRetentionInDays", dig(old.properties if old else {}, "softDeleteRetentionInDays", 90)
        )
        _choose_model(given, old, call)
        if given.get("createMode") != "recover":
            check(POLICIES_OR_ROLES, body)
        given.setdefault("accessPolicies", [])
        given.setdefault("publicNetworkAccess", "Enabled")
        given["vaultUri"] = f"https://{call.path.name.lower()}.vault.azure.net/"
        if not old:
            self._claim(body, call)
        given.pop("createMode", None)

    async def make(self, resource: Resource, call: Call) -> None:
        """Carry the settings over to the data plane."""
        given, vault = resource.properties, self.context.vaults.find(resource.name)
        if vault is None:
            raise ArmError(409, "Conflict", f"The vault '{resource.name}' was deleted while it was being changed.")
        vault.purge_protection = bool(given.get("enablePurgeProtection"))
        vault.rbac, vault.policies = bool(given["enableRbacAuthorization"]), _policies(given)

    async def delete(self, call: Call) -> Reply:
        """Move a vault into soft delete, at once."""
        resource = self.store.find(str(call.path))
        if resource is None:
            return Reply(204)
        await self.dispose(resource)
        return Reply(200)

    async def remove(self, resource: Resource) -> None:
        """Keep what `deletedVaults` shows of it."""
        now, days = self.context.now(), resource.properties["softDeleteRetentionInDays"]
        self.context.vaults.delete(resource.name)
        body = {
            "location": resource.location,
            "properties": {
                "vaultId": resource.id,
                "location": resource.location,
                "tags": resource.body.get("tags", {}),
                "deletionDate": now.isoformat(),
                "scheduledPurgeDate": (now + timedelta(days=days)).isoformat(),
                "purgeProtectionEnabled": bool(resource.properties.get("enablePurgeProtection")),
            },
            "recoverable": dict(resource.body),
        }
        subscription = "/".join(resource.id.split("/")[:3])
        base = f"{subscription}/providers/Microsoft.KeyVault/locations/{resource.location}/deletedVaults"
        self.store.put(Resource(f"{base}/{resource.name}", "Microsoft.KeyVault/deletedVaults", resource.name, body))

    def _claim(self, body: dict[str, Any], call: Call) -> None:
        name, given = call.path.name, body["properties"]
        if given.get("createMode") == "recover" and self.context.vaults.find_deleted(name):
            self.context.vaults.recover(name)
            if deleted := self.store.named("Microsoft.KeyVault/deletedVaults", name):
                given |= {**deleted.body["recoverable"]["properties"]}
                self.store.delete(deleted.id)
            return
        self.context.vaults.create(
            str(call.path),
            name,
            body["location"],
            retention_days=given["softDeleteRetentionInDays"],
            purge_protection=bool(given.get("enablePurgeProtection")),
            rbac=bool(given["enableRbacAuthorization"]),
            policies=_policies(given),
        )


class DeletedVaults(Kind):
    """Vaults in soft delete, by region and in the whole subscription."""

    type_name = "Microsoft.KeyVault/locations/deletedVaults"
    methods = ("GET",)
    segments = ("operations", "operationResults")

    def present(self, resource: Resource) -> dict[str, Any]:
        """The body."""
        shown = {"id": resource.id, "name": resource.name, "type": resource.type}
        return {**shown, "properties": resource.properties}

    def require(self, path: Path) -> Resource:
        """The deleted vault, or DeletedVaultNotFound."""
        found = self.store.find(str(path))
        if found is None:
            text = f"The specified deleted vault '{path.name}' does not exist."
            raise ArmError(404, "DeletedVaultNotFound", text)
        return found

    async def list_all(self, call: Call) -> Reply:
        """Answer all deleted vaults of the subscription."""
        found = self.store.within(f"/subscriptions/{call.path.subscription}", "Microsoft.KeyVault/deletedVaults")
        return Reply(200, {"value": [self.present(vault) for vault in found]})

    def actions(self) -> dict[str, Action]:
        """Purging."""
        return {"purge": self._purge}

    async def _purge(self, resource: Resource, call: Call) -> Reply:
        if resource.properties["purgeProtectionEnabled"]:
            text = 'Operation "DeletedVaultPurge" is not allowed because purge protection is enabled for this vault. '
            text += "Key Vault service will automatically purge it after the retention period has passed."
            raise ArmError(400, "MethodNotAllowed", text)

        async def work() -> None:
            self.context.vaults.purge(resource.name)
            self.store.delete(resource.id)

        if resource.operation is None:
            resource.operation = self.start(work(), resource, call, lambda: Reply(200))
        return Reply(202, None, self.headers(resource.operation, call, Monitor.LOCATION))


def _check_changes(given: Mapping[str, Any], old: Resource | None) -> None:
    if old is None:
        return
    if old.properties.get("enablePurgeProtection") and given.get("enablePurgeProtection") is not True:
        text = 'The property "enablePurgeProtection" cannot be set to false. '
        raise ArmError(400, "BadRequest", text + IRREVERSIBLE.replace("{what}", "purge protection"))
    if given.get("enableSoftDelete") is False:
        text = 'The property "enableSoftDelete" can be set to false only for creating new vault. '
        raise ArmError(400, "BadRequest", text + IRREVERSIBLE.replace("{what}", '"soft delete" functionality'))
    days = given.get("softDeleteRetentionInDays", old.properties["softDeleteRetentionInDays"])
    if days != old.properties["softDeleteRetentionInDays"]:
        text = 'The property "softDeleteRetentionInDays" has been set already and it can\'t be modified.'
        raise ArmError(400, "BadRequest", text)


def _choose_model(given: dict[str, Any], old: Resource | None, call: Call) -> None:
    """Fill in who decides about the data; from one version of the API on it stays what it was, and is RBAC at first.

    https://learn.microsoft.com/azure/key-vault/general/access-control-default
    """
    if given.get("enableRbacAuthorization") is not None:
        return
    by_default = call.api_version >= RBAC_BY_DEFAULT
    before = old.properties.get("enableRbacAuthorization") if old and by_default else None
    given["enableRbacAuthorization"] = by_default if before is None else before


def _policies(given: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    return {
        policy["objectId"]: frozenset(permission.lower() for permission in dig(policy, "permissions.secrets", []))
        for policy in given["accessPolicies"]
    }
