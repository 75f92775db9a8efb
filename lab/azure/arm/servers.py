"""Microsoft.DBforPostgreSQL: flexible servers, their firewall rules and databases.

The administrator's password is handed to the backend and kept nowhere.
https://learn.microsoft.com/rest/api/postgresql
"""

import ipaddress
import logging
import traceback
from typing import Any

from lab.azure.arm import errors, ids, names
from lab.azure.arm.bodies import dig
from lab.azure.arm.context import Call
from lab.azure.arm.errors import ArmError
from lab.azure.arm.kinds import Kind, Monitor
from lab.azure.arm.operations import Operation
from lab.azure.arm.server_rules import RULES, check_version
from lab.azure.arm.store import Resource

logger = logging.getLogger(__name__)

PASSWORD = "administratorLoginPassword"  # noqa: S105
DEFAULT_VERSION = "17"
RESERVED_LOGINS = {"azure_superuser", "azuresu", "azure_pg_admin", "admin", "administrator", "root", "guest", "public"}
BUILT_IN = ("azure_maintenance", "azure_sys", "postgres")
READY = {"Creating": "Provisioning", "Updating": "Updating", "Deleting": "Dropping", "Failed": "Disabled"}


class FlexibleServers(Kind):
    """Flexible servers. Every write is answered with 202."""

    type_name = "Microsoft.DBforPostgreSQL/flexibleServers"
    name_rule = names.SERVER_NAME
    has_system_data = True
    rules = RULES
    has_state = False
    created = 202
    updated = 202
    put_monitor = Monitor.BOTH
    segments = ("azureAsyncOperation", "operationResults")
    write_only = (PASSWORD,)
    rank = 0

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check administrator, version and name; fill in defaults."""
        given, name = body["properties"], call.path.name
        if old:
            _check_changes(given, old)
        else:
            self._check_new(given, name)
        if given.get(PASSWORD) is not None:
            _check_password(given[PASSWORD], given["administratorLogin"])
        given.setdefault("version", DEFAULT_VERSION)
        given.setdefault("minorVersion", "0")
        given.setdefault("storage", {"storageSizeGB": 32, "autoGrow": "Disabled"})
        given.setdefault("authConfig", {"activeDirectoryAuth": "Disabled", "passwordAuth": "Enabled"})
        given.setdefault("backup", {"backupRetentionDays": 7, "geoRedundantBackup": "Disabled"})
        given.setdefault("highAvailability", {"mode": "Disabled", "state": "NotEnabled"})
        given.setdefault("network", {"publicNetworkAccess": "Enabled"})
        given.setdefault("replicationRole", "Primary")
        given["fullyQualifiedDomainName"] = f"{name.lower()}.postgres.database.azure.com"
        given.pop("createMode", None)

    async def make(self, resource: Resource, call: Call) -> None:
        """Start the server, or change the administrator's password."""
        given, password = resource.properties, dig(call.body, f"properties.{PASSWORD}")
        try:
            if not resource.is_real:
                login, version = given["administratorLogin"], given["version"]
                await self.context.backends.start_server(resource.name, login, password or "", version)
            elif password is not None:
                await self.context.backends.set_server_password(resource.name, password)
        except Exception as error:
            # The text of the backend's error may carry the password: where it came from is all that is told.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("server %s: %s\n%s", resource.name, type(error).__name__, where)
            text = f"An unexpected error occured while processing the request. Tracking ID: {type(error).__name__}"
            raise ArmError(500, "InternalServerError", text) from None
        for name in BUILT_IN:
            database = f"{resource.id}/databases/{name}"
            if self.store.find(database) is None:
                settings = {"properties": {"charset": "UTF8", "collation": "en_US.utf8"}}
                self.store.put(Resource(database, Databases.type_name, name, settings, is_real=True))

    async def remove(self, resource: Resource) -> None:
        """End the server and drop its data."""
        if resource.is_real:
            await self.context.backends.stop_server(resource.name)

    def present(self, resource: Resource) -> dict[str, Any]:
        """The body; a server shows `state` in place of a provisioning state."""
        body = super().present(resource)
        body["properties"] = {**resource.properties, "state": READY.get(resource.state, "Ready")}
        return body

    def busy(self, resource: Resource, operation: Operation) -> ArmError:
        """The server does one thing at a time."""
        return server_busy(resource.name)

    def _check_new(self, given: dict[str, Any], name: str) -> None:
        if self.store.named(self.type_name, name):
            text = f"Specified server name '{name}' is already used. Please use a different name and try again."
            raise ArmError(409, "ServerNameAlreadyExists", text)
        login = str(given.get("administratorLogin") or "")
        if not login or not given.get(PASSWORD):
            text = "The admin credentials are required for creating admin role while enabling Password Authentication "
            raise ArmError(400, "EngineCredentialsNotProvided", text + "and must be provided.")
        if login.lower() in RESERVED_LOGINS or login.lower().startswith("pg_"):
            text = f"Invalid value given for parameter administratorLogin: '{login}' is reserved."
            raise ArmError(400, "InvalidParameterValue", text, "administratorLogin")
        check_version(str(given.get("version", DEFAULT_VERSION)), self.context.now())


class Nested(Kind):
    """What is inside a server: written one at a time, while the server is ready."""

    methods = ("GET", "PUT", "DELETE")
    is_tracked = False
    has_state = False
    created = 202
    updated = 202
    put_monitor = Monitor.BOTH
    segments = ("azureAsyncOperation", "operationResults")

    def check_server(self, call: Call) -> None:
        """Raise while the server or something in it is being changed."""
        for child in self.store.within(str(call.path.owner)):
            if child.is_busy:
                raise server_busy(call.path.names[0])


class FirewallRules(Nested):
    """Firewall rules. The lab keeps them; its servers are reached from this machine only."""

    type_name = "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules"

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check the two addresses."""
        self.check_server(call)
        given = body["properties"]
        try:
            start, end = (ipaddress.IPv4Address(str(given.get(f"{side}IpAddress"))) for side in ("start", "end"))
        except ValueError:
            text = "Invalid value given for parameter StartIpAddress or EndIpAddress. Specify a valid IPv4 address."
            raise ArmError(400, "InvalidParameterValue", text) from None
        if start > end:
            text = "The start IP address is greater than the end IP address."
            raise ArmError(400, "InvalidParameterValue", text)


class Databases(Nested):
    """Databases as ARM knows them; `postgres` is always there."""

    type_name = "Microsoft.DBforPostgreSQL/flexibleServers/databases"

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Fill in encoding and collation."""
        self.check_server(call)
        body["properties"].setdefault("charset", "UTF8")
        body["properties"].setdefault("collation", "en_US.utf8")


def server_busy(name: str) -> ArmError:
    """Another operation on the server is under way."""
    return ArmError(409, "ServerBusy", f"Server '{name}' is busy with another operation. Please try again later.")


def _check_changes(given: dict[str, Any], old: Resource) -> None:
    for name in ("administratorLogin", "version"):
        given.setdefault(name, old.properties[name])
    if given["administratorLogin"] != old.properties["administratorLogin"]:
        raise errors.change_not_allowed("properties.administratorLogin")
    if str(given["version"]) != str(old.properties["version"]):
        raise errors.change_not_allowed("properties.version")
    if (given.get("storage") or {}).get("storageSizeGB", 1 << 20) < dig(old.properties, "storage.storageSizeGB", 0):
        raise errors.change_not_allowed("properties.storage.storageSizeGB")
    before, wanted = dig(old.properties, "network.delegatedSubnetResourceId", ""), dig(given, "network", {})
    if ids.key(wanted.get("delegatedSubnetResourceId") or "") != ids.key(before):
        raise errors.change_not_allowed("properties.network.delegatedSubnetResourceId")


def _check_password(password: str, login: str) -> None:
    kinds = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
    if not 8 <= len(password) <= 128 or sum(any(kind(letter) for letter in password) for kind in kinds) < 3:
        text = "Password validation failed. The password does not meet policy requirements because it is not complex "
        raise ArmError(400, "PasswordTooWeak", text + "enough.")
    if login.lower() in password.lower():
        text = "Password validation failed. The password must not contain the administrator's login name."
        raise ArmError(400, "PasswordTooWeak", text)
