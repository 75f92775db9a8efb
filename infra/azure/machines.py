"""Virtual machines: a small Linux with a system-assigned identity, and commands that run on it through ARM.

Nobody logs in: the key pair that Azure asks for is made here and its private half thrown away.
https://learn.microsoft.com/azure/virtual-machines/linux/run-command
"""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.azure.credentials import managed
from infra.azure.errors import translated
from infra.azure.names import get_last, get_location, get_resource_id
from infra.azure.operations import OnProgress, finish, get_state, ignore
from infra.errors import NotFound, ServiceFailed
from infra.provisioning.plan import Found
from infra.provisioning.resources import Machine
from infra.settings import Settings

if TYPE_CHECKING:
    from azure.mgmt.compute import ComputeManagementClient, models

ROLE = "Virtual Machine Contributor"
ADMINISTRATOR = "keyturn"
FIRST_START = "#cloud-config\npackages: [curl, jq]\n"
_STREAMS = re.compile(r"\[stdout\]\n(?P<stdout>.*?)\n?\[stderr\]\n(?P<stderr>.*)", re.DOTALL)


@dataclass(frozen=True)
class MachineOutput:
    """What a command printed on a machine. Azure keeps the last 4,096 bytes of each stream, and no exit code."""

    stdout: str
    stderr: str


def find_machine(name: str, group: str, settings: Settings) -> Found | None:
    """Return a virtual machine, or None."""
    try:
        with _opened("Cannot look at the virtual machine", name, settings) as client:
            found = client.virtual_machines.get(group, name)
    except NotFound:
        return None
    said = (found.properties and found.properties.provisioning_state) or ""
    return Found(_seen(found, name), get_state(said), said)


def get_machine(name: str, group: str, settings: Settings) -> Machine:
    """Return a virtual machine with the object id of its identity.

    Raises:
        NotFound: there is no such machine.
    """
    found = find_machine(name, group, settings)
    if found is None or not isinstance(found.resource, Machine):
        raise NotFound("The virtual machine does not exist", name=f"{group}/{name}", fix="provision it")
    return found.resource


def put_machine(wanted: Machine, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Make a virtual machine, or change size and identity of the one that is there."""
    there = find_machine(wanted.name, group, settings)
    with _opened("Cannot create the virtual machine", wanted.name, settings) as client:
        if there is not None:
            changes: Any = {"identity": _identity(wanted), "properties": {"hardwareProfile": {"vmSize": wanted.size}}}
            finish(
                client.virtual_machines.begin_update(group, wanted.name, changes),
                f"Changing the virtual machine {wanted.name}",
                on_progress,
            )
            return
        interface = get_resource_id(
            settings.subscription_id, group, "Microsoft.Network/networkInterfaces", wanted.network_interface
        )
        parameters: Any = _new(wanted, interface)
        poller = client.virtual_machines.begin_create_or_update(group, wanted.name, parameters)
        finish(poller, f"Creating the virtual machine {wanted.name}", on_progress)


def run_command(
    name: str, group: str, script: str, settings: Settings, on_progress: OnProgress = ignore
) -> MachineOutput:
    """Run a shell script on a machine as root and return what it printed.

    Azure runs one at a time on a machine, and takes 20 seconds for the smallest.

    Raises:
        NotFound: there is no such machine.
        Conflict: another command is running.
    """
    with _opened("Cannot run the command", name, settings) as client:
        command: Any = {"commandId": "RunShellScript", "script": script.splitlines()}
        result = finish(
            client.virtual_machines.begin_run_command(group, name, command),
            f"Running a command on {name}",
            on_progress,
        )
    return _read(name, [(one.code or "", one.message or "") for one in result.value or []])


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


def _new(wanted: Machine, interface: str) -> dict[str, Any]:
    publisher, offer, sku = wanted.image.split(":")
    key = {"path": f"/home/{ADMINISTRATOR}/.ssh/authorized_keys", "keyData": _make_public_key()}
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
    kind = str(getattr(identity and identity.type, "value", identity and identity.type) or "")
    return Machine(
        name=name,
        location=get_location(found.location),
        size=str(getattr(hardware and hardware.vm_size, "value", hardware and hardware.vm_size) or ""),
        image=f"{image.publisher}:{image.offer}:{image.sku}" if image and image.publisher else "",
        system_assigned_identity="SystemAssigned" in kind,
        network_interface=get_last(interfaces[0].id if interfaces else ""),
        principal_id=(identity and identity.principal_id) or "",
    )


@contextmanager
def _opened(what: str, name: str, settings: Settings) -> Iterator["ComputeManagementClient"]:
    from azure.mgmt.compute import ComputeManagementClient

    with (
        translated(what, name=name, role=ROLE, scope="the resource group"),
        managed(ComputeManagementClient, settings) as client,
    ):
        yield client
