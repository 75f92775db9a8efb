"""Closed lists and limits of a managed cluster's body: versions of Kubernetes, sizes of nodes, pools.

https://learn.microsoft.com/azure/aks/supported-kubernetes-versions
https://learn.microsoft.com/azure/aks/use-system-pools
"""

from collections.abc import Mapping
from typing import Any

from lab.azure.arm.bodies import dig
from lab.azure.arm.rules import Rule, between, holding, one_of
from lab.azure.arm.sizes import MACHINES

VERSION = "1.34"
VERSIONS = ("1.33", "1.34", "1.35")
LONG_TERM_VERSIONS = ("1.30", "1.31", "1.32")
"""Beside the others, in clusters of the tier Premium with long-term support."""
MOST_NODES = 1000


def _is_supported(body: Mapping[str, Any]) -> bool:
    version = dig(body, "properties.kubernetesVersion")
    if not version:
        return True
    minor = ".".join(str(version).split(".")[:2])
    is_long = str(dig(body, "sku.tier")).lower() == "premium"
    is_long = is_long and dig(body, "properties.supportPlan") == "AKSLongTermSupport"
    return minor in VERSIONS or (is_long and minor in LONG_TERM_VERSIONS)


def _pools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = dig(body, "properties.agentPoolProfiles", [])
    return found


def _has_system_pool(body: Mapping[str, Any]) -> bool:
    pools = _pools(body)
    return not pools or any(str(pool.get("mode", "System")).lower() == "system" for pool in pools)


def _system_pools_are_big(body: Mapping[str, Any]) -> bool:
    system = [pool for pool in _pools(body) if str(pool.get("mode", "System")).lower() == "system"]
    sizes = [MACHINES.get(str(pool.get("vmSize")).lower()) for pool in system]
    return all(size is None or (size.cores >= 2 and size.memory_gib >= 4) for size in sizes)


def _invalid(name: str) -> str:
    return (
        f"The value of parameter {name} is invalid. Error details: '{{value}}' is not one of {{allowed}}. Please see "
    )


_POOL, _NETWORK = "properties.agentPoolProfiles[]", "properties.networkProfile"
_ENUMS = {
    "sku.name": ("Base", "Automatic"),
    "sku.tier": ("Free", "Standard", "Premium"),
    "properties.supportPlan": ("KubernetesOfficial", "AKSLongTermSupport"),
    f"{_POOL}.mode": ("System", "User"),
    f"{_POOL}.osType": ("Linux", "Windows"),
    f"{_POOL}.osSKU": ("Ubuntu", "Ubuntu2204", "Ubuntu2404", "AzureLinux", "AzureLinux3", "Windows2022", "Windows2025"),
    f"{_POOL}.type": ("VirtualMachineScaleSets", "VirtualMachines"),
    f"{_NETWORK}.networkPlugin": ("azure", "kubenet", "none"),
    f"{_NETWORK}.networkPluginMode": ("overlay",),
    f"{_NETWORK}.networkPolicy": ("none", "calico", "azure", "cilium"),
    f"{_NETWORK}.loadBalancerSku": ("standard",),
    f"{_NETWORK}.outboundType": ("loadBalancer", "userDefinedRouting", "managedNATGateway", "userAssignedNATGateway"),
}
RULES: tuple[Rule, ...] = (
    *(
        one_of(path, allowed, "InvalidParameter", _invalid(name), target=name)
        for path, allowed in _ENUMS.items()
        for name in [path.removeprefix("properties.").replace("agentPoolProfiles[]", "agentPoolProfile")]
    ),
    holding(
        _is_supported,
        "K8sVersionNotSupported",
        "The managed cluster's version is not supported in this region. Please use [az aks get-versions] command to "
        "get the supported version list in this region. For more information, please check "
        f"https://aka.ms/supported-version-list. Supported: {', '.join(VERSIONS)}.",
        target="kubernetesVersion",
    ),
    Rule(
        f"{_POOL}.vmSize",
        lambda size: isinstance(size, str) and size.lower() in MACHINES,
        "BadRequest",
        "The VM size of {value} is not allowed in your subscription in this location. The available VM sizes are "
        f"'{','.join(MACHINES)}'. For more details, please visit https://aka.ms/aks/quotas-skus-regions",
        "agentPoolProfile.vmSize",
    ),
    between(
        f"{_POOL}.count",
        0,
        MOST_NODES,
        "InvalidParameter",
        "The value of parameter agentPoolProfile.count is invalid. Error details: Agent pool count {value} must be in "
        f"the range of 0 to {MOST_NODES}.",
        target="agentPoolProfile.count",
    ),
    holding(
        _has_system_pool,
        "InvalidParameter",
        "The value of parameter agentPoolProfiles is invalid. Error details: There has to be at least one system agent "
        "pool.",
        target="agentPoolProfiles",
    ),
    holding(
        _system_pools_are_big,
        "SystemPoolSkuTooLow",
        # Azure's words; it takes two cores and 4 GiB all the same.
        "System node pool must use VM sku with more than 2 cores and 4GB memory.",
        target="agentPoolProfile.vmSize",
    ),
)
