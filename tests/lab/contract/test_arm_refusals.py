"""Values that Azure refuses: one table, one lab. Each row changes a body that is fine in one place."""

from copy import deepcopy
from typing import Any

import pytest
from arm_world import GROUP, LOCATION, SCOPE, World

from lab.azure.arm.server_rules import VERSIONS
from lab.control.options import TENANT_ID

PROVIDERS = f"{SCOPE}/resourceGroups/{GROUP}/providers"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtleXR1cm4ga2V5dHVybiBrZXl0dXJuIGtleXR1cm4h lab"
PASSWORD = "Canary-Machine-1"
SERVER = "Microsoft.DBforPostgreSQL/flexibleServers/sonarqube-postgresql3?api-version=2024-08-01"
MACHINE = "Microsoft.Compute/virtualMachines/AzureVM-Server?api-version=2024-07-01"
CLUSTER = "Microsoft.ContainerService/managedClusters/integrateakskv-cluster?api-version=2025-01-01"
VAULT = "Microsoft.KeyVault/vaults/dexterkeyvault?api-version=2023-07-01"
ACCOUNT = "Microsoft.Storage/storageAccounts/integrateakskvtachotacho?api-version=2024-01-01"
CONTAINER = (
    "Microsoft.Storage/storageAccounts/otheraccount/blobServices/default/containers/dexter?api-version=2024-01-01"
)
ADDRESS = "Microsoft.Network/publicIPAddresses/ip?api-version=2024-05-01"
SECURITY = "Microsoft.Network/networkSecurityGroups/nsg?api-version=2024-05-01"
NETWORK = "Microsoft.Network/virtualNetworks/vnet?api-version=2024-05-01"
RULE = {"protocol": "Tcp", "direction": "Inbound", "access": "Allow", "priority": 100}
BODIES: dict[str, dict[str, Any]] = {
    SERVER: {
        "sku": {"name": "Standard_B1ms", "tier": "Burstable"},
        "properties": {
            "administratorLogin": "dexter",
            "administratorLoginPassword": "Canary-Server-1",
            "version": "17",
            "storage": {"storageSizeGB": 32},
        },
    },
    MACHINE: {
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B1s"},
            "storageProfile": {
                "imageReference": {
                    "publisher": "Canonical",
                    "offer": "ubuntu-24_04-lts",
                    "sku": "server",
                    "version": "latest",
                },
                "osDisk": {"createOption": "FromImage"},
            },
            "osProfile": {
                "computerName": "AzureVM-Server",
                "adminUsername": "azureuser",
                "adminPassword": PASSWORD,
                "linuxConfiguration": {"disablePasswordAuthentication": False},
            },
            "networkProfile": {"networkInterfaces": []},
        }
    },
    CLUSTER: {
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "dnsPrefix": "integrateakskv",
            "agentPoolProfiles": [{"name": "nodepool1", "count": 1, "vmSize": "Standard_D2s_v5", "mode": "System"}],
        },
    },
    VAULT: {
        "properties": {
            "tenantId": TENANT_ID,
            "sku": {"family": "A", "name": "standard"},
            "accessPolicies": [],
            "enableRbacAuthorization": True,
        }
    },
    ACCOUNT: {"kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}},
    CONTAINER: {"properties": {}},
    ADDRESS: {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}},
    SECURITY: {"properties": {"securityRules": [{"name": "ssh", "properties": RULE}]}},
    NETWORK: {
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}],
        }
    },
}
GONE = object()
Change = dict[str, Any]
RETIRED = {"publisher": "OpenLogic", "offer": "CentOS", "sku": "7_9", "version": "latest"}
IMAGE, LINUX = "properties.storageProfile.imageReference", "properties.osProfile.linuxConfiguration"
POOL = "properties.agentPoolProfiles.0"
FIRST = "properties.securityRules.0.properties"
SECOND = {"name": "again", "properties": RULE}
REFUSED: list[tuple[str, Change, str]] = [
    (SERVER, {"sku.tier": "GeneralPurpose"}, "ServerEditionIncompatibleWithSkuSize"),
    (SERVER, {"sku.name": "Standard_D2s_v3"}, "ServerEditionIncompatibleWithSkuSize"),
    (SERVER, {"sku.name": "Standard_B1s"}, "InvalidParameterValue"),
    (SERVER, {"sku.name": "Standard_Nonsense"}, "InvalidParameterValue"),
    (SERVER, {"sku.tier": GONE}, "InvalidParameterValue"),
    (SERVER, {"sku.tier": "Basic"}, "InvalidParameterValue"),
    (SERVER, {"sku": GONE}, "InvalidParameterValue"),
    (SERVER, {"properties.storage.storageSizeGB": 20}, "InvalidParameterValue"),
    (SERVER, {"properties.storage.storageSizeGB": 33}, "InvalidParameterValue"),
    (SERVER, {"properties.version": "10"}, "InvalidParameterValue"),
    (SERVER, {"properties.version": "13"}, "InvalidParameterValue"),
    (SERVER, {"properties.version": "19"}, "InvalidParameterValue"),
    (SERVER, {"properties.backup": {"backupRetentionDays": 6}}, "InvalidParameterValue"),
    (SERVER, {"properties.highAvailability": {"mode": "Always"}}, "InvalidParameterValue"),
    (SERVER, {"properties.highAvailability": {"mode": "ZoneRedundant"}}, "HANotSupportedForBurstableSkuWithMoreInfo"),
    (SERVER, {"properties.authConfig": {"passwordAuth": "Disabled"}}, "InvalidParameterValue"),
    (SERVER, {"properties.network": {"publicNetworkAccess": "Sometimes"}}, "InvalidParameterValue"),
    (SERVER, {"properties.createMode": "Invent"}, "InvalidParameterValue"),
    (SERVER, {"properties.administratorLogin": "azure_superuser"}, "InvalidParameterValue"),
    (SERVER, {"properties.administratorLoginPassword": "weak"}, "PasswordTooWeak"),
    (MACHINE, {"properties.hardwareProfile.vmSize": "Standard_Nonsense"}, "InvalidParameter"),
    (MACHINE, {"properties.hardwareProfile": GONE}, "InvalidParameter"),
    (MACHINE, {"properties.hardwareProfile.vmSize": "Standard_D2ps_v5"}, "BadRequest"),
    (MACHINE, {f"{IMAGE}.offer": "ubuntu-25_13"}, "PlatformImageNotFound"),
    (MACHINE, {f"{IMAGE}.version": "newest"}, "PlatformImageNotFound"),
    (MACHINE, {IMAGE: RETIRED}, "ImageVersionDeprecated"),
    (MACHINE, {IMAGE: GONE}, "InvalidParameter"),
    (MACHINE, {"properties.storageProfile": GONE}, "InvalidParameter"),
    (MACHINE, {"properties.storageProfile.osDisk.diskSizeGB": 3}, "InvalidParameter"),
    (MACHINE, {"properties.storageProfile.osDisk.managedDisk": {"storageAccountType": "Slow"}}, "InvalidParameter"),
    (MACHINE, {"properties.osProfile": GONE}, "InvalidParameter"),
    (MACHINE, {"properties.osProfile.adminPassword": GONE}, "InvalidParameter"),
    (MACHINE, {"properties.osProfile.adminPassword": "password"}, "InvalidParameter"),
    (MACHINE, {"properties.osProfile.adminUsername": "root"}, "InvalidParameter"),
    (MACHINE, {"properties.osProfile.computerName": "-x"}, "InvalidParameter"),
    (MACHINE, {f"{LINUX}.disablePasswordAuthentication": True}, "InvalidParameter"),
    (MACHINE, {f"{LINUX}.ssh": {"publicKeys": [{"keyData": "ssh-rsa AAAA"}]}}, "InvalidParameter"),
    (MACHINE, {f"{LINUX}.ssh": {"publicKeys": [{"keyData": KEY, "path": "/root/keys"}]}}, "InvalidParameter"),
    (MACHINE, {"properties.networkProfile": {}}, "InvalidParameter"),
    (CLUSTER, {"properties.kubernetesVersion": "1.12"}, "K8sVersionNotSupported"),
    (CLUSTER, {"properties.kubernetesVersion": "1.31"}, "K8sVersionNotSupported"),
    (CLUSTER, {f"{POOL}.vmSize": "Standard_Nonsense"}, "BadRequest"),
    (CLUSTER, {f"{POOL}.vmSize": "Standard_B1s"}, "SystemPoolSkuTooLow"),
    (CLUSTER, {f"{POOL}.mode": "User"}, "InvalidParameter"),
    (CLUSTER, {f"{POOL}.mode": "Both"}, "InvalidParameter"),
    (CLUSTER, {f"{POOL}.count": 5000}, "InvalidParameter"),
    (CLUSTER, {f"{POOL}.osType": "Solaris"}, "InvalidParameter"),
    (CLUSTER, {f"{POOL}.type": "AvailabilitySet"}, "InvalidParameter"),
    (CLUSTER, {"sku": {"name": "Base", "tier": "Paid"}}, "InvalidParameter"),
    (CLUSTER, {"properties.networkProfile": {"networkPlugin": "flannel"}}, "InvalidParameter"),
    (CLUSTER, {"properties.networkProfile": {"loadBalancerSku": "basic"}}, "InvalidParameter"),
    (VAULT, {"properties.sku.name": "basic"}, "BadRequest"),
    (VAULT, {"properties.sku.family": "B"}, "BadRequest"),
    (VAULT, {"properties.tenantId": "mine"}, "BadRequest"),
    (VAULT, {"properties.enableSoftDelete": False}, "BadRequest"),
    (VAULT, {"properties.enablePurgeProtection": False}, "BadRequest"),
    (VAULT, {"properties.softDeleteRetentionInDays": 91}, "BadRequest"),
    (VAULT, {"properties.accessPolicies": GONE, "properties.enableRbacAuthorization": GONE}, "BadRequest"),
    (VAULT, {"properties.accessPolicies": GONE, "properties.enableRbacAuthorization": False}, "BadRequest"),
    (VAULT, {"properties.accessPolicies": [{"tenantId": TENANT_ID, "objectId": "me"}]}, "BadRequest"),
    (
        VAULT,
        {
            "properties.accessPolicies": [
                {"tenantId": TENANT_ID, "objectId": TENANT_ID, "permissions": {"secrets": ["look"]}}
            ]
        },
        "BadRequest",
    ),
    (VAULT, {"properties.networkAcls": {"defaultAction": "Maybe"}}, "BadRequest"),
    (VAULT, {"properties.networkAcls": {"ipRules": [{"value": "everywhere"}]}}, "BadRequest"),
    (ACCOUNT, {"sku.name": "Standard_Nonsense"}, "InvalidValuesForRequestParameters"),
    (ACCOUNT, {"sku": GONE}, "InvalidValuesForRequestParameters"),
    (ACCOUNT, {"kind": "StorageV3"}, "InvalidValuesForRequestParameters"),
    (ACCOUNT, {"kind": "BlockBlobStorage"}, "InvalidValuesForRequestParameters"),
    (ACCOUNT, {"properties.accessTier": "Lukewarm"}, "InvalidValuesForRequestParameters"),
    (ACCOUNT, {"properties.minimumTlsVersion": "TLS1_0"}, "InvalidValuesForRequestParameters"),
    (ACCOUNT, {"properties.allowBlobPublicAccess": "no"}, "InvalidValuesForRequestParameters"),
    (CONTAINER, {"properties.publicAccess": "Blob"}, "PublicAccessNotPermitted"),
    (ADDRESS, {"properties.publicIPAllocationMethod": "Dynamic"}, "StandardSkuPublicIPAddressesMustBeStatic"),
    (ADDRESS, {"properties.publicIPAllocationMethod": GONE}, "StandardSkuPublicIPAddressesMustBeStatic"),
    (ADDRESS, {"sku.name": "Basic"}, "IPv4BasicSkuPublicIpCountLimitReached"),
    (ADDRESS, {"sku": GONE}, "IPv4BasicSkuPublicIpCountLimitReached"),
    (ADDRESS, {"sku.name": "Gold"}, "InvalidRequestFormat"),
    (ADDRESS, {"properties.idleTimeoutInMinutes": 60}, "PublicIPAddressIdleTimeoutOutOfRange"),
    (SECURITY, {f"{FIRST}.priority": 99}, "SecurityRuleInvalidPriority"),
    (SECURITY, {f"{FIRST}.access": "Maybe"}, "SecurityRuleParameterContainsUnsupportedValue"),
    (SECURITY, {f"{FIRST}.protocol": "Quic"}, "SecurityRuleParameterContainsUnsupportedValue"),
    (SECURITY, {"properties.securityRules": [{"name": "ssh", "properties": RULE}, SECOND]}, "SecurityRuleConflict"),
    (NETWORK, {"properties.addressSpace": GONE}, "NullOrEmptyAddressPrefix"),
    (NETWORK, {"properties.subnets.0.properties.addressPrefix": "192.168.0.0/24"}, "NetcfgSubnetRangeOutsideVnet"),
    (NETWORK, {"properties.subnets.0.properties.addressPrefix": "10.0.0.300/24"}, "InvalidAddressPrefixFormat"),
]
STATUSES = {"PlatformImageNotFound": 404, "PublicAccessNotPermitted": 409}


def changed(resource: str, change: Change) -> dict[str, Any]:
    """The body of a resource with the values at some paths replaced, or taken away."""
    body: Any = {"location": LOCATION, **deepcopy(BODIES[resource])}
    for path, value in change.items():
        *way, last = path.split(".")
        place = body
        for name in way:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return dict(body)


@pytest.fixture(scope="module", autouse=True)
def account(shared: World) -> None:
    """An account, as containers are in one."""
    url = f"{PROVIDERS}/Microsoft.Storage/storageAccounts/otheraccount?api-version=2024-01-01"
    shared.ask("PUT", url, {"location": LOCATION, **BODIES[ACCOUNT]})
    states = (shared.ask("GET", url).json()["properties"]["provisioningState"] for _ in range(100))
    assert "Succeeded" in states


@pytest.mark.parametrize(
    ("resource", "change", "code"),
    REFUSED,
    ids=[f"{resource.split('/')[1]}-{'-'.join(change)}-{at}" for at, (resource, change, _) in enumerate(REFUSED)],
)
def test_a_value_that_azure_refuses_is_refused_and_nothing_is_made(shared, resource, change, code):
    answer = shared.ask("PUT", f"{PROVIDERS}/{resource}", changed(resource, change))
    assert (answer.status_code, answer.json()["error"]["code"]) == (STATUSES.get(code, 400), code)
    assert PASSWORD not in answer.text
    assert shared.ask("GET", f"{PROVIDERS}/{resource}").status_code == 404


@pytest.mark.parametrize("resource", [SERVER, CLUSTER, VAULT, ACCOUNT, ADDRESS, SECURITY, NETWORK])
def test_the_body_that_the_rows_change_is_fine_itself(world, group, resource):
    answer = world.ask("PUT", f"{PROVIDERS}/{resource}", changed(resource, {}))
    assert answer.status_code in (200, 201, 202), answer.text


@pytest.mark.parametrize(
    ("method", "path", "refusal"),
    [
        ("PUT", f"{PROVIDERS}/{VAULT.partition('?')[0]}", (400, "NoRegisteredProviderFound")),
        ("GET", f"{PROVIDERS}/{VAULT.partition('?')[0]}", (404, "InvalidResourceType")),
        ("GET", f"{SCOPE}/resourceGroups/{GROUP}", (400, "InvalidApiVersionParameter")),
        ("GET", f"{SCOPE}/providers/Microsoft.Authorization/roleAssignments", (404, "InvalidResourceType")),
    ],
)
def test_a_version_of_the_api_that_its_provider_does_not_have_is_refused(shared, method, path, refusal):
    answer = shared.ask(method, f"{path}?api-version=2099-01-01", changed(VAULT, {}) if method == "PUT" else None)
    assert (answer.status_code, answer.json()["error"]["code"]) == refusal
    assert "The supported" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("version", "is_rbac"), [("2025-05-01", False), ("2026-02-01", True), ("2026-05-15", True)])
def test_who_decides_about_a_new_vault_depends_on_the_version_of_the_api(world, group, version, is_rbac):
    body = changed(VAULT, {"properties.enableRbacAuthorization": GONE})
    answer = world.ask("PUT", f"{PROVIDERS}/{VAULT.partition('?')[0]}?api-version={version}", body)
    assert answer.json()["properties"]["enableRbacAuthorization"] is is_rbac
    assert answer.json()["properties"]["provisioningState"] == "RegisteringDns"
    assert world.vaults.find("dexterkeyvault").rbac is is_rbac


def test_no_version_of_postgresql_is_offered_beyond_its_end(shared):
    assert [name for name, end in VERSIONS.items() if end.year < 2027] == ["11", "12", "13", "14"]
