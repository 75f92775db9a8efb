"""checkNameAvailability: may a name that is unique in all of Azure be taken.

https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults/check-name-availability
"""

from lab.azure.arm.context import Call, Context
from lab.azure.arm.errors import ArmError, invalid_parameter
from lab.azure.arm.names import ACCOUNT_NAME, SERVER_NAME, VAULT_NAME
from lab.azure.arm.operations import Reply

RIGHTS = {
    "microsoft.keyvault": "Microsoft.KeyVault/checkNameAvailability/read",
    "microsoft.storage": "Microsoft.Storage/checkNameAvailability/read",
    "microsoft.dbforpostgresql": "Microsoft.DBforPostgreSQL/checkNameAvailability/action",
}
"""Namespace -> what a caller must be allowed to do in the subscription. Reader has the reads, not the action."""


class Availability:
    """Answers for vaults, storage accounts and flexible servers.

    Args:
        context: the lab's parts.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rules = {
            "microsoft.keyvault": (VAULT_NAME, "vault", "AccountNameInvalid"),
            "microsoft.storage": (ACCOUNT_NAME, "storage account", "AccountNameInvalid"),
            "microsoft.dbforpostgresql": (SERVER_NAME, "server", "Invalid"),
        }

    async def check(self, call: Call) -> Reply:
        """Answer whether the name in the body is valid and free."""
        found = self._rules.get(call.path.namespace.lower())
        if found is None:
            raise ArmError(404, "InvalidResourceType", f"{call.path.namespace} has no checkNameAvailability.")
        name = str(call.body.get("name") or "")
        if not name:
            raise invalid_parameter("name")
        rule, noun, reason = found
        try:
            rule.check(name)
        except ArmError as error:
            return Reply(200, {"nameAvailable": False, "reason": reason, "message": error.message})
        if self._is_taken(noun, name):
            text = f"The {noun} named {name} is already taken."
            return Reply(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": text})
        return Reply(200, {"nameAvailable": True})

    def _is_taken(self, noun: str, name: str) -> bool:
        context = self._context
        if noun == "vault":
            return bool(context.vaults.find(name) or context.vaults.find_deleted(name))
        if noun == "storage account":
            return context.storage.find(name) is not None
        return context.store.named("Microsoft.DBforPostgreSQL/flexibleServers", name) is not None
