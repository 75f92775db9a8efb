"""What Microsoft.Compute refuses in a virtual machine's body: sizes, images, and ways to sign in.

https://learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from lab.azure.arm.bodies import dig
from lab.azure.arm.errors import ArmError
from lab.azure.arm.rules import Rule, between, holding, matching, one_of
from lab.azure.arm.sizes import MACHINES

CODE = "InvalidParameter"
IMAGES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("Canonical", "ubuntu-24_04-lts"): ("server", "server-gen1", "server-arm64", "minimal", "minimal-arm64"),
    ("Canonical", "0001-com-ubuntu-server-jammy"): ("22_04-lts", "22_04-lts-gen2", "22_04-lts-arm64"),
    ("Debian", "debian-12"): ("12", "12-gen2", "12-arm64"),
    ("Debian", "debian-13"): ("13", "13-gen2", "13-arm64"),
    ("RedHat", "RHEL"): ("8-lvm-gen2", "8_10", "810-gen2", "9-lvm", "9-lvm-gen2", "9_6", "96-gen2", "10-lvm-gen2"),
    ("RedHat", "rhel-arm64"): ("9_6-arm64", "10_0-arm64"),
    ("SUSE", "sles-15-sp6"): ("gen1", "gen2"),
    ("MicrosoftCBLMariner", "azure-linux-3"): ("azure-linux-3", "azure-linux-3-gen2", "azure-linux-3-arm64"),
    ("almalinux", "almalinux-x86_64"): ("8-gen2", "9-gen1", "9-gen2", "10-gen2"),
}
"""Publisher and offer -> skus of Linux that are on the marketplace."""
RETIRED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("Canonical", "UbuntuServer"): ("14.04.5-LTS", "16.04-LTS", "18.04-LTS", "18_04-lts-gen2"),
    ("Canonical", "0001-com-ubuntu-server-focal"): ("20_04-lts", "20_04-lts-gen2", "20_04-lts-arm64"),
    ("Debian", "debian-10"): ("10", "10-gen2"),
    ("Debian", "debian-11"): ("11", "11-gen2"),
    ("OpenLogic", "CentOS"): ("7.5", "7.7", "7_9", "7_9-gen2", "8_5", "8_5-gen2"),
    ("RedHat", "RHEL"): ("7-LVM", "7-RAW", "7_9", "7lvm-gen2"),
}
"""Those that were there: their versions are deprecated."""
NOT_ADMINISTRATORS = (
    *("administrator", "admin", "user", "user1", "test", "user2", "test1", "user3", "admin1", "1", "123", "a"),
    *("actuser", "adm", "admin2", "aspnet", "backup", "console", "david", "guest", "john", "owner", "root", "server"),
    *("sql", "support", "support_388945a0", "sys", "test2", "test3", "user4", "user5"),
)
_KEY = re.compile(r"(ssh-rsa|ssh-ed25519) ([A-Za-z0-9+/]+=*)( .*)?")


def _missing(name: str) -> str:
    return f"Required parameter '{name}' is missing (null)."


def _can_sign_in(body: Mapping[str, Any]) -> bool:
    """Without a password there must be a key, whatever is disabled."""
    linux = "properties.osProfile.linuxConfiguration"
    takes_passwords = not dig(body, f"{linux}.disablePasswordAuthentication", False)
    return takes_passwords or bool(dig(body, f"{linux}.ssh.publicKeys"))


def _has_password(body: Mapping[str, Any]) -> bool:
    profile = dig(body, "properties.osProfile", {})
    is_disabled = dig(profile, "linuxConfiguration.disablePasswordAuthentication", False)
    return bool(is_disabled or profile.get("adminPassword"))


def _is_strong(password: Any) -> bool:
    kinds = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
    if not isinstance(password, str) or not 6 <= len(password) <= 72:
        return False
    return sum(any(kind(letter) for letter in password) for kind in kinds) >= 3


def _is_key(text: Any) -> bool:
    found = _KEY.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        return False
    try:
        blob = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        return False
    name = found[1].encode()
    return len(blob) > 4 + len(name) + 32 and blob[4 : 4 + len(name)] == name


def _is_at_home(body: Mapping[str, Any]) -> bool:
    home = f"/home/{dig(body, 'properties.osProfile.adminUsername')}/.ssh/authorized_keys"
    keys = dig(body, "properties.osProfile.linuxConfiguration.ssh.publicKeys", [])
    return all(key.get("path") in (None, home) for key in keys)


def _fits_processor(body: Mapping[str, Any]) -> bool:
    size = MACHINES.get(str(dig(body, "properties.hardwareProfile.vmSize")).lower())
    return size is None or size.is_arm == ("arm64" in str(dig(body, f"{_IMAGE}.sku", "")).lower())


_PROFILE, _IMAGE = "properties.osProfile", "properties.storageProfile.imageReference"
_LINUX = f"{_PROFILE}.linuxConfiguration"
RULES: tuple[Rule, ...] = (
    Rule(
        "properties.hardwareProfile.vmSize",
        lambda size: isinstance(size, str) and size.lower() in MACHINES,
        CODE,
        "The value {value} provided for the VM size is not valid. The valid sizes in the current region are: "
        f"{', '.join(size.name for size in MACHINES.values())}. Find out more on the valid VM sizes in each region at "
        "https://aka.ms/azure-regions.",
        "vmSize",
        is_required=True,
    ),
    one_of("properties.priority", ("Regular", "Spot"), CODE, "The value of parameter priority is invalid."),
    one_of(
        "properties.storageProfile.osDisk.createOption",
        ("FromImage",),
        CODE,
        "The value '{value}' of parameter osDisk.createOption is invalid: the lab starts machines from images only.",
        target="osDisk.createOption",
    ),
    one_of(
        "properties.storageProfile.osDisk.managedDisk.storageAccountType",
        ("Standard_LRS", "StandardSSD_LRS", "StandardSSD_ZRS", "Premium_LRS", "Premium_ZRS"),
        CODE,
        "The value '{value}' of parameter managedDisk.storageAccountType is invalid.",
        target="managedDisk.storageAccountType",
    ),
    between("properties.storageProfile.osDisk.diskSizeGB", 30, 4095, CODE, "The size {value} GB is not allowed."),
)
NEW_RULES: tuple[Rule, ...] = (
    Rule("properties.storageProfile", bool, CODE, _missing("storageProfile"), "storageProfile", is_required=True),
    Rule(_IMAGE, bool, CODE, _missing("imageReference"), "imageReference", is_required=True),
    Rule(_PROFILE, bool, CODE, _missing("osProfile"), "osProfile", is_required=True),
    Rule(f"{_PROFILE}.adminUsername", bool, CODE, _missing("adminUsername"), "adminUsername", is_required=True),
    Rule(
        f"{_PROFILE}.adminUsername",
        lambda name: len(name) <= 64 and name.lower() not in NOT_ADMINISTRATORS and not name.endswith("."),
        CODE,
        "The Admin Username specified is not allowed.",
        "adminUsername",
    ),
    matching(
        f"{_PROFILE}.computerName",
        r"(?!-)[A-Za-z0-9.-]{1,64}(?<![-.])",
        CODE,
        "The specified computer name '{value}' is not allowed.",
        target="computerName",
    ),
    holding(
        _can_sign_in,
        CODE,
        "Authentication using either SSH or by user name and password must be enabled in Linux profile.",
        target="linuxConfiguration",
    ),
    holding(_has_password, CODE, _missing("adminPassword"), target="adminPassword"),
    Rule(
        f"{_PROFILE}.adminPassword",
        _is_strong,
        CODE,
        "The supplied password must be between 6-72 characters long and must satisfy at least 3 of password complexity "
        "requirements from the following: 1) Contains an uppercase character 2) Contains a lowercase character "
        "3) Contains a numeric digit 4) Contains a special character 5) Control characters are not allowed",
        "adminPassword",
    ),
    Rule(
        f"{_LINUX}.ssh.publicKeys[].keyData",
        _is_key,
        CODE,
        "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid.",
        "linuxConfiguration.ssh.publicKeys.keyData",
        is_required=True,
    ),
    holding(
        _is_at_home,
        CODE,
        "Destination path for SSH public keys is currently limited to its default value "
        "/home/ADMINUSERNAME/.ssh/authorized_keys due to a known issue in Linux provisioning agent.",
        target="linuxConfiguration.ssh.publicKeys.path",
    ),
)
FITTING: tuple[Rule, ...] = (
    holding(
        _fits_processor,
        "BadRequest",
        "Cannot create a VM because the CPU architecture of its size, and that of the image or disk given, are not the "
        "same.",
    ),
)
"""What is asked once size and image are known to be there."""


def check_image(body: Mapping[str, Any]) -> None:
    """Raise unless the image is on the marketplace."""
    image = dig(body, _IMAGE, {})
    names = [str(image.get(part) or "") for part in ("publisher", "offer", "sku", "version")]
    urn, wanted = ":".join(names), tuple(name.lower() for name in names)
    if wanted[:3] in _flat(RETIRED):
        publisher, offer, sku, version = names
        text = f"VM Image from publisher: {publisher} with - Offer: {offer}, Sku: {sku}, Version: {version} is "
        raise ArmError(400, "ImageVersionDeprecated", text + "deprecated.", "imageReference")
    if wanted[:3] not in _flat(IMAGES) or not re.fullmatch(r"latest|\d+\.\d+\.\d+", wanted[3]):
        raise ArmError(
            404,
            "PlatformImageNotFound",
            f"The platform image '{urn}' is not available. Verify that all fields in the storage profile are correct. "
            "For more details about storage profile information, please refer to https://aka.ms/storageprofile",
            "imageReference",
        )


def _flat(images: Mapping[tuple[str, str], tuple[str, ...]]) -> set[tuple[str, ...]]:
    return {
        (publisher.lower(), offer.lower(), sku.lower()) for (publisher, offer), skus in images.items() for sku in skus
    }
