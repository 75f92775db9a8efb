"""Microsoft.Compute: virtual machines and the commands that are run on them.

https://learn.microsoft.com/rest/api/compute/virtual-machines
"""

import shlex
import uuid
from typing import Any

from lab.azure.arm import errors, ids, names
from lab.azure.arm.assigned import assign_identities, check_identities, forget_identities
from lab.azure.arm.bodies import dig
from lab.azure.arm.context import Call
from lab.azure.arm.errors import ArmError
from lab.azure.arm.kinds import Action, Kind, Monitor
from lab.azure.arm.machine_rules import FITTING, NEW_RULES, RULES, check_image
from lab.azure.arm.operations import Reply
from lab.azure.arm.rules import check
from lab.azure.arm.store import Resource
from lab.azure.backends import CommandResult

FIXED = ("osProfile.adminUsername", "osProfile.computerName", "storageProfile.imageReference.offer")
MAX_OUTPUT_CHARACTERS = 4096


class VirtualMachines(Kind):
    """Virtual machines: each gets a proxy of its own from the backend, so that IMDS knows it."""

    type_name = "Microsoft.Compute/virtualMachines"
    name_rule = names.MACHINE_NAME
    has_etag = True
    rules, new_rules = RULES, NEW_RULES
    segments = ("operations", "operations")
    write_only = ("adminPassword", "customData", "userData")
    rank = 0

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check image, interfaces and identities; some properties stay what they were."""
        if not old:
            check_image(body)
            check(FITTING, body)
        self._check_interfaces(body, call)
        if old:
            self._keep(body, old)
        check_identities(self.context, body.get("identity"), call, f"{self.type_name}/write")
        given = body["properties"]
        given["vmId"] = old.properties["vmId"] if old else str(uuid.uuid4())
        given["timeCreated"] = old.properties["timeCreated"] if old else self.context.now().isoformat()

    async def make(self, resource: Resource, call: Call) -> None:
        """Start the machine, and let it be who it was told to be."""
        assign_identities(self.context, resource)
        if not resource.is_real:
            await self.context.backends.start_machine(resource.id, resource.name)

    async def remove(self, resource: Resource) -> None:
        """Stop the machine; its identity goes with it, and interfaces that were to."""
        if resource.is_real:
            await self.context.backends.stop_machine(resource.id)
        forget_identities(self.context, resource)
        for interface in dig(resource.body, "properties.networkProfile.networkInterfaces", []):
            if dig(interface, "properties.deleteOption") == "Delete":
                self.store.delete(interface["id"])

    async def get(self, call: Call) -> Reply:
        """Answer one machine, with how it is if that is asked for."""
        reply = await super().get(call)
        if reply.body and "instanceview" in call.query.get("$expand", "").lower():
            reply.body["properties"]["instanceView"] = self._instance_view(self.require(call.path))
        return reply

    def actions(self) -> dict[str, Action]:
        """Commands and the instance view."""
        return {"runcommand": self._run_command, "instanceview": self._view}

    def _check_interfaces(self, body: dict[str, Any], call: Call) -> None:
        interfaces = dig(body, "properties.networkProfile.networkInterfaces", [])
        if not interfaces:
            raise errors.invalid_parameter("networkProfile")
        for interface in interfaces:
            interface_id = str(interface.get("id"))
            if self.store.find(interface_id) is None:
                raise errors.reference_not_found(interface_id, str(call.path))
            others = [
                user.id for user in self.store.users_of(interface_id) if ids.key(user.id) != ids.key(str(call.path))
            ]
            if others:
                text = f"Network Interface {interface_id} is used by existing resource {others[0]}."
                raise ArmError(400, "NicInUse", text)

    def _keep(self, body: dict[str, Any], old: Resource) -> None:
        for path in FIXED:
            before, given = dig(old.body, f"properties.{path}"), dig(body, f"properties.{path}")
            if given is not None and given != before:
                raise errors.change_not_allowed(path, status=409)
        for name in ("osProfile", "storageProfile"):
            if name in old.properties:
                body["properties"].setdefault(name, old.properties[name])
        if "identity" in old.body:
            body.setdefault("identity", old.body["identity"])

    async def _view(self, resource: Resource, call: Call) -> Reply:
        return Reply(200, self._instance_view(resource))

    def _instance_view(self, resource: Resource) -> dict[str, Any]:
        power = {"code": "PowerState/running", "level": "Info", "displayStatus": "VM running"}
        state = {"code": f"ProvisioningState/{resource.state.lower()}", "level": "Info"}
        state["displayStatus"] = f"Provisioning {resource.state.lower()}"
        name = dig(resource.body, "properties.osProfile.computerName", resource.name)
        return {"computerName": name, "statuses": [state, *([power] if resource.is_real else [])]}

    async def _run_command(self, resource: Resource, call: Call) -> Reply:
        if call.body.get("commandId") != "RunShellScript":
            text = f"The entity '{call.body.get('commandId')}' is not a run command of Linux machines."
            raise ArmError(404, "NotFound", text, "commandId")
        if not resource.is_real:
            text = "Cannot modify extensions in the VM when the VM is not running."
            raise ArmError(409, "OperationNotAllowed", text)
        if resource.is_busy:
            text = "Run command extension execution is in progress. Please wait for completion before invoking a run "
            raise ArmError(409, "Conflict", text + "command.")
        script, output = _script(call.body), dict[str, Any]()

        async def work() -> None:
            result = await self.context.backends.run_command(resource.id, script)
            output["value"] = [_status(result)]

        url = self.operations_url(call, resource.location)
        operation = self.context.operations.start(
            work(),
            url,
            lambda: Reply(200, output),
            lambda error: None,
            output=output,
            caller_id=call.caller.object_id,
        )
        resource.operation = operation
        return Reply(202, None, self.headers(operation, call, Monitor.BOTH))


def _script(body: dict[str, Any]) -> str:
    given = [
        f"{parameter['name']}={shlex.quote(str(parameter.get('value', '')))}"
        for parameter in body.get("parameters") or []
    ]
    return "\n".join([*given, *(body.get("script") or []), ""])


def _status(result: CommandResult) -> dict[str, Any]:
    how = "Enable succeeded: "
    if result.code:
        how = f"Enable failed: failed to execute command: command terminated with exit status={result.code}"
    stdout, stderr = result.stdout[-MAX_OUTPUT_CHARACTERS:], result.stderr[-MAX_OUTPUT_CHARACTERS:]
    # Azure calls it succeeded whatever the script's exit status was.
    return {
        "code": "ProvisioningState/succeeded",
        "level": "Info",
        "displayStatus": "Provisioning succeeded",
        "message": f"{how}\n[stdout]\n{stdout}\n[stderr]\n{stderr}",
    }
