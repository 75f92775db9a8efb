"""The body of a managed cluster: what is refused, and what AKS adds to it.

https://learn.microsoft.com/azure/templates/microsoft.containerservice/managedclusters
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any

from lab.azure.arm import errors, names
from lab.azure.arm.bodies import dig
from lab.azure.arm.cluster_rules import VERSION
from lab.azure.arm.errors import ArmError
from lab.azure.arm.ids import Path
from lab.control.options import TENANT_ID

ADDON = "azureKeyvaultSecretsProvider"
KEPT = (
    "aadProfile",
    "addonProfiles",
    "agentPoolProfiles",
    "disableLocalAccounts",
    "dnsPrefix",
    "enableRBAC",
    "kubernetesVersion",
    "networkProfile",
    "nodeResourceGroup",
    "oidcIssuerProfile",
    "securityProfile",
)
"""What a PUT may leave out of an existing cluster's body without changing it."""
FIXED = (
    "dnsPrefix",
    "enableRBAC",
    "nodeResourceGroup",
    "networkProfile.networkPlugin",
    "networkProfile.serviceCidr",
    "networkProfile.podCidr",
    "networkProfile.dnsServiceIP",
)
NETWORK = {
    "networkPlugin": "azure",
    "networkPluginMode": "overlay",
    "loadBalancerSku": "standard",
    "outboundType": "loadBalancer",
    "podCidr": "10.244.0.0/16",
    "serviceCidr": "10.0.0.0/16",
    "dnsServiceIP": "10.0.0.10",
}
_GO_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+")


def check_cluster(body: dict[str, Any], old: Mapping[str, Any] | None) -> None:
    """Refuse a body that AKS would refuse.

    Args:
        body: as it was sent.
        old: the present properties, None for a new cluster.
    """
    given = body["properties"]
    if old is not None:
        _check_changes(given, old)
    else:
        _check_new(body)
    for pool in given.get("agentPoolProfiles") or []:
        names.POOL_NAME.check(str(pool.get("name") or ""))
    issuer = dig(given, "oidcIssuerProfile.enabled", dig(old or {}, "oidcIssuerProfile.enabled", False))
    if dig(given, "securityProfile.workloadIdentity.enabled", False) and not issuer:
        text = "Workload identity requires the OIDC issuer: oidcIssuerProfile.enabled must be true."
        raise ArmError(400, "BadRequest", text, "securityProfile.workloadIdentity")
    addon = dig(given, f"addonProfiles.{ADDON}", {})
    if addon.get("enabled"):
        _check_addon(addon.get("config") or {})
    _check_entra(given, old or {})


def complete_cluster(body: dict[str, Any], path: Path, old: Mapping[str, Any] | None) -> None:
    """Add what the service decides; an existing cluster keeps what it had."""
    given, location = body["properties"], body["location"]
    for name in KEPT if old else ():
        if old and name in old and given.get(name) is None:
            given[name] = old[name]
    body.setdefault("sku", {"name": "Base", "tier": "Free"})
    version = str(given.get("kubernetesVersion") or VERSION)
    given["kubernetesVersion"] = version
    given["currentKubernetesVersion"] = version if version.count(".") > 1 else f"{version}.0"
    given.setdefault("enableRBAC", True)
    given.setdefault("nodeResourceGroup", f"MC_{path.group}_{path.name}_{location}"[:80])
    given["networkProfile"] = {**NETWORK, **(given.get("networkProfile") or {})}
    given["servicePrincipalProfile"] = {"clientId": "msi"}
    given["powerState"] = {"code": "Running"}
    given["maxAgentPools"] = 100
    given["resourceUID"] = old["resourceUID"] if old else uuid.uuid4().hex[:24]
    given["fqdn"] = f"{given['dnsPrefix']}-{given['resourceUID'][:8]}.hcp.{location}.azmk8s.io"
    _complete_entra(given)
    _complete_issuer(given, location, old)
    _complete_addons(given)
    given["agentPoolProfiles"] = [_complete_pool(pool, given) for pool in given["agentPoolProfiles"]]


def _check_new(body: dict[str, Any]) -> None:
    given = body["properties"]
    if not given.get("dnsPrefix"):
        raise errors.invalid_parameter("dnsPrefix")
    if not given.get("agentPoolProfiles"):
        raise errors.invalid_parameter("agentPoolProfiles")
    if not body.get("identity") and not given.get("servicePrincipalProfile"):
        raise errors.invalid_parameter("servicePrincipalProfile")


def _check_changes(given: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    for path in FIXED:
        wanted = dig(given, path)
        if wanted is not None and wanted != dig(old, path):
            raise errors.change_not_allowed(path)
    if dig(old, "oidcIssuerProfile.enabled") and dig(given, "oidcIssuerProfile.enabled") is False:
        text = "OIDC issuer feature cannot be disabled."
        raise ArmError(400, "OIDCIssuerFeatureCannotBeDisabled", text, "oidcIssuerProfile.enabled")
    sizes = {pool["name"]: pool.get("vmSize") for pool in old["agentPoolProfiles"]}
    for pool in given.get("agentPoolProfiles") or []:
        if sizes.get(pool.get("name"), pool.get("vmSize")) != pool.get("vmSize", sizes.get(pool.get("name"))):
            raise errors.change_not_allowed("agentPoolProfile.vmSize")


def _check_addon(config: Mapping[str, Any]) -> None:
    rotation, interval = config.get("enableSecretRotation", "false"), config.get("rotationPollInterval", "2m")
    if rotation not in ("true", "false"):
        text = f'Addon {ADDON} has an invalid config: enableSecretRotation must be "true" or "false".'
        raise ArmError(400, "InvalidParameter", text, f"addonProfiles.{ADDON}.config.enableSecretRotation")
    if not isinstance(interval, str) or not _GO_DURATION.fullmatch(interval):
        text = f"Addon {ADDON} has an invalid config: rotationPollInterval must be a duration such as 2m."
        raise ArmError(400, "InvalidParameter", text, f"addonProfiles.{ADDON}.config.rotationPollInterval")


def _check_entra(given: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    """https://learn.microsoft.com/azure/aks/enable-authentication-microsoft-entra-id"""
    profile = given.get("aadProfile", old.get("aadProfile"))
    if old.get("aadProfile") and not (profile or {}).get("managed"):
        raise errors.change_not_allowed("aadProfile")
    if profile and not profile.get("managed"):
        text = "Only AKS-managed Microsoft Entra integration is supported: aadProfile.managed must be true."
        raise ArmError(400, "BadRequest", text, "aadProfile.managed")
    if given.get("disableLocalAccounts", old.get("disableLocalAccounts")) and not profile:
        text = "Local accounts can be disabled only in clusters with Microsoft Entra integration."
        raise ArmError(400, "BadRequest", text, "disableLocalAccounts")


def _complete_entra(given: dict[str, Any]) -> None:
    given.setdefault("disableLocalAccounts", False)
    if profile := given.get("aadProfile"):
        default = {"adminGroupObjectIDs": [], "enableAzureRBAC": False, "tenantID": TENANT_ID}
        given["aadProfile"] = {**default, **{name: value for name, value in profile.items() if value is not None}}


def _complete_issuer(given: dict[str, Any], location: str, old: Mapping[str, Any] | None) -> None:
    profile = dict(given.get("oidcIssuerProfile") or {"enabled": False})
    if profile.get("enabled"):
        new = f"https://{location}.oic.prod-aks.azure.com/{TENANT_ID}/{uuid.uuid4()}/"
        profile["issuerURL"] = dig(old or {}, "oidcIssuerProfile.issuerURL", new)
    given["oidcIssuerProfile"] = profile


def _complete_addons(given: dict[str, Any]) -> None:
    addons = {name: dict(profile) for name, profile in (given.get("addonProfiles") or {}).items()}
    if ADDON in addons and addons[ADDON].get("enabled"):
        default = {"enableSecretRotation": "false", "rotationPollInterval": "2m"}
        addons[ADDON]["config"] = {**default, **(addons[ADDON].get("config") or {})}
    given["addonProfiles"] = addons


def _complete_pool(pool: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    default = {"count": 1, "vmSize": "Standard_DS2_v2", "osType": "Linux", "osSKU": "Ubuntu", "mode": "System"}
    completed = {**default, "type": "VirtualMachineScaleSets", "maxPods": 250, **pool}
    completed["orchestratorVersion"] = pool.get("orchestratorVersion") or given["kubernetesVersion"]
    return completed | {"powerState": {"code": "Running"}, "provisioningState": "Creating"}
