"""Microsoft.DBforPostgreSQL/flexibleServers/configurations: the parameters of a server that the lab really has.

They are read only: the lab's servers run with these values, whoever asks.
https://learn.microsoft.com/rest/api/postgresql/configurations
"""

from typing import Any

from lab.azure.arm.context import Call
from lab.azure.arm.errors import ArmError
from lab.azure.arm.kinds import Kind
from lab.azure.arm.operations import Reply
from lab.azure.arm.store import Resource

PARAMETERS: dict[str, tuple[str, str, str, str]] = {
    "client_encoding": ("UTF8", "String", "", "Sets the client's character set encoding."),
    "log_statement": ("none", "Enumeration", "none,ddl,mod,all", "Sets the type of statements logged."),
    "password_encryption": ("scram-sha-256", "Enumeration", "md5,scram-sha-256", "Determines the password algorithm."),
    "require_secure_transport": ("on", "Boolean", "on,off", "Whether client connections must use a secure transport."),
    "ssl_min_protocol_version": ("TLSv1.2", "Enumeration", "TLSv1.2,TLSv1.3", "Sets the oldest TLS version to use."),
}
"""Name -> value, type, allowed values, description."""


class Parameters(Kind):
    """Server parameters."""

    type_name = "Microsoft.DBforPostgreSQL/flexibleServers/configurations"
    methods = ("GET", "PUT", "PATCH")
    is_tracked = False
    has_state = False

    async def get(self, call: Call) -> Reply:
        """Answer one parameter."""
        server_id, name = self.require_parent(call.path), call.path.name.lower()
        if name not in PARAMETERS:
            text = f"The configuration '{call.path.name}' does not exist for the server: the lab has few of them."
            raise ArmError(404, "ConfigurationNotExists", text)
        return Reply(200, self.present(self._parameter(server_id, name)))

    async def list_all(self, call: Call) -> Reply:
        """Answer all parameters."""
        server_id = self.require_parent(call.path)
        return Reply(200, {"value": [self.present(self._parameter(server_id, name)) for name in PARAMETERS]})

    async def put(self, call: Call) -> Reply:
        """Nothing can be changed."""
        raise ArmError(400, "ReadOnlyConfiguration", f"The lab does not change the parameter '{call.path.name}'.")

    async def patch(self, call: Call) -> Reply:
        """Nothing can be changed."""
        return await self.put(call)

    def _parameter(self, server_id: str, name: str) -> Resource:
        value, kind, allowed, description = PARAMETERS[name]
        properties: dict[str, Any] = {"value": value, "defaultValue": value, "dataType": kind, "allowedValues": allowed}
        properties |= {"source": "system-default", "description": description, "isDynamicConfig": True}
        properties |= {"isReadOnly": True, "isConfigPendingRestart": False}
        return Resource(f"{server_id}/configurations/{name}", self.type_name, name, {"properties": properties})
