"""Virtual machines: a small Linux with a system-assigned identity, and commands that run on it through ARM.

Nobody logs in: the key pair that Azure asks for is made here, and its private half is thrown away.
https://learn.microsoft.com/azure/virtual-machines/linux/run-command
"""

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.azure.arm import ArmKind, as_found, finish, get_last, get_location, word
from infra.errors import NotFound, ServiceFailed
from infra.provisioning.kinds import Found, OnProgress, ignore
from infra.provisioning.resources import Machine

if TYPE_CHECKING:
    from azure.mgmt.compute import ComputeManagementClient, models

ADMINISTRATOR = "keyturn"
FIRST_START = "#cloud-config\npackages: [curl, jq]\n"
_STREAMS = re.compile(r"\[stdout\]\n(?P<stdout>.*?)\n?\[stderr\]\n(?P<stderr>.*)", re.DOTALL)


@dataclass(frozen=True)
class MachineOutput:
    """What a command printed on a machine. Azure keeps the last 4,096 bytes of each stream, and no exit code."""

    stdout: str
    stderr: str


def open_compute(*arguments: Any, **options: Any) -> "ComputeManagementClient":
    """Make a client; it is imported here, which takes a second."""
    from azure.mgmt.compute import ComputeManagementClient

    return ComputeManagementClient(*arguments, **options)


class Machines(ArmKind[Machine, "ComputeManagementClient"]):
    """Virtual machines."""

    resource = Machine
    action = "Microsoft.Compute/virtualMachines/write"
    role = "Virtual Machine Contributor"

    open_client = staticmethod(open_compute)

    def find(self, wanted: Machine) -> Found | None:
        """Return a virtual machine, or None."""
        found = self._find(wanted.name)
        if found is None:
            return None
        return as_found(_seen(found, wanted.name), found.properties and found.properties.provisioning_state)

    def get(self, name: str) -> Machine:
        """Return a virtual machine with the object id of its identity.

        Raises:
            NotFound: there is no such machine.
        """
        found = self._find(name)
        if found is None:
            raise NotFound("The virtual machine does not exist", name=f"{self.group}/{name}", fix="Provision it")
        return _seen(found, name)

    def put(self, wanted: Machine, on_progress: OnProgress = ignore) -> None:
        """Make a virtual machine, or change size and identity of the existing one."""
        exists = self._find(wanted.name) is not None
        with self.changing(wanted.name, "change" if exists else "create") as client:
            poller: Any
            if exists:
                changes: Any = {
                    "identity": _identity(wanted),
                    "properties": {"hardwareProfile": {"vmSize": wanted.size}},
                }
                poller = client.virtual_machines.begin_update(self.group, wanted.name, changes)
            else:
                poller = client.virtual_machines.begin_create_or_update(self.group, wanted.name, self._new(wanted))
            self.follow(poller, "Changing" if exists else "Creating", wanted.name, on_progress)

    def run_command(self, name: str, script: str, on_progress: OnProgress = ignore) -> MachineOutput:
        """Run a shell script on a machine as root and return what it printed.

        Azure runs one script at a time on a machine, and takes 20 seconds for the smallest.

        Raises:
            NotFound: there is no such machine.
            Conflict: another script is running.
        """
        command: Any = {"commandId": "RunShellScript", "script": script.splitlines()}
        with self.changing(name, "run a command on") as client:
            poller = client.virtual_machines.begin_run_command(self.group, name, command)
            result = finish(poller, f"Running a command on {name}", on_progress)
        return _read(name, [(status.code or "", status.message or "") for status in result.value or []])

    def _find(self, name: str) -> "models.VirtualMachine | None":
        return self.look(name, lambda client: client.virtual_machines.get(self.group, name))

    def _new(self, wanted: Machine) -> Any:
        publisher, offer, sku = wanted.image.split(":")
        key = {"path": f"/home/{ADMINISTRATOR}/.ssh/authorized_keys", "keyData": _make_public_key()}
        interface = self.azure.resource_id(self.group, "Microsoft.Network/networkInterfaces", wanted.network_interface)
        return {
            "location": wanted.location,
            "identity": _identity(wanted),
            "properties": {
                "hardwareProfile": {"vmSize": wanted.size},
                "storageProfile": {
                    "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"},
                    "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
                },
                "osProfile": {
                    "computerName": wanted.name,
                    "adminUsername": ADMINISTRATOR,
                    "customData": base64.b64encode(FIRST_START.encode()).decode(),
                    "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}},
                },
                "networkProfile": {"networkInterfaces": [{"id": interface}]},
            },
        }


def _read(name: str, statuses: list[tuple[str, str]]) -> MachineOutput:
    """Read either of the two forms that Azure answers in: one status with both streams, or one for each."""
    for _, message in statuses:
        if found := _STREAMS.search(message):
            return MachineOutput(found["stdout"], found["stderr"])
    streams = {code.split("/")[1].lower(): message for code, message in statuses if code.count("/") == 2}
    if "stdout" not in streams:
        raise ServiceFailed(
            "The machine did not run the command", name=name, seen=", ".join(code for code, _ in statuses) or "nothing"
        )
    return MachineOutput(streams["stdout"], streams.get("stderr", ""))


def _identity(wanted: Machine) -> dict[str, str]:
    return {"type": "SystemAssigned" if wanted.system_assigned_identity else "None"}


def _make_public_key() -> str:
    key = generate_private_key(public_exponent=65537, key_size=3072)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _seen(found: "models.VirtualMachine", name: str) -> Machine:
    properties, identity = found.properties, found.identity
    hardware = properties.hardware_profile if properties else None
    image = properties.storage_profile.image_reference if properties and properties.storage_profile else None
    network = properties.network_profile if properties else None
    interfaces = (network and network.network_interfaces) or []
    return Machine(
        name=name,
        location=get_location(found.location),
        size=word(hardware and hardware.vm_size),
        image=f"{image.publisher}:{image.offer}:{image.sku}" if image and image.publisher else "",
        system_assigned_identity="SystemAssigned" in word(identity and identity.type),
        network_interface=get_last(interfaces[0].id if interfaces else ""),
        principal_id=(identity and identity.principal_id) or "",
    )
