"""Operations that no other test asks for: each answers as Azure's does, one row each, on one lab."""

from typing import Any

import pytest
from arm_world import GROUP, LOCATION, SCOPE, World

from lab.control.options import TENANT_ID

GROUP_URL = f"{SCOPE}/resourceGroups/{GROUP}/providers"
NETWORK, IDENTITY = f"{GROUP_URL}/Microsoft.Network", f"{GROUP_URL}/Microsoft.ManagedIdentity"
COMPUTE, AKS = f"{GROUP_URL}/Microsoft.Compute", f"{GROUP_URL}/Microsoft.ContainerService"
SERVER = f"{GROUP_URL}/Microsoft.DBforPostgreSQL/flexibleServers/server"
VAULT = f"{GROUP_URL}/Microsoft.KeyVault/vaults/everykeyvault"
ACCOUNT = f"{GROUP_URL}/Microsoft.Storage/storageAccounts/everyaccount"
VM, NIC, NSG = (
    f"{COMPUTE}/virtualMachines/vm",
    f"{NETWORK}/networkInterfaces/nic",
    f"{NETWORK}/networkSecurityGroups/nsg",
)
VNET, IP = f"{NETWORK}/virtualNetworks/vnet", f"{NETWORK}/publicIPAddresses/ip"
CLUSTER, USER = f"{AKS}/managedClusters/cluster", f"{IDENTITY}/userAssignedIdentities/identity"
CONTAINER = f"{ACCOUNT}/blobServices/default/containers/dexter"
FEDERATED = f"{USER}/federatedIdentityCredentials/federated"
VERSIONS = {
    "Network": "2024-05-01",
    "Compute": "2024-07-01",
    "DBforPostgreSQL": "2024-08-01",
    "Storage": "2024-01-01",
    "KeyVault": "2023-07-01",
    "ManagedIdentity": "2023-01-31",
    "ContainerService": "2025-01-01",
    "Authorization": "2022-04-01",
}
RULE = {"protocol": "Tcp", "direction": "Inbound", "access": "Allow", "priority": 100}
IMAGE = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}
MADE: dict[str, dict[str, Any]] = {
    VNET: {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}],
    },
    IP: {"publicIPAllocationMethod": "Static"},
    NSG: {},
    NIC: {"ipConfigurations": [{"name": "main", "properties": {"subnet": {"id": f"{VNET}/subnets/default"}}}]},
    VM: {
        "hardwareProfile": {"vmSize": "Standard_B1s"},
        "storageProfile": {"imageReference": IMAGE},
        "osProfile": {"computerName": "vm", "adminUsername": "azureuser", "adminPassword": "Canary-Machine-1"},
        "networkProfile": {"networkInterfaces": [{"id": NIC}]},
    },
    USER: {},
    FEDERATED: {"issuer": "https://issuer.example.com", "subject": "somebody", "audiences": ["anybody"]},
    CLUSTER: {"dnsPrefix": "every", "agentPoolProfiles": [{"name": "pool", "vmSize": "Standard_D2s_v5"}]},
    VAULT: {"tenantId": TENANT_ID, "sku": {"family": "A", "name": "standard"}, "accessPolicies": []},
    ACCOUNT: {},
    CONTAINER: {},
    SERVER: {"administratorLogin": "dexter", "administratorLoginPassword": "Canary-Server-1", "version": "17"},
}
MORE: dict[str, dict[str, Any]] = {
    IP: {"sku": {"name": "Standard"}},
    CLUSTER: {"identity": {"type": "SystemAssigned"}},
    ACCOUNT: {"kind": "StorageV2", "sku": {"name": "Standard_LRS"}},
    SERVER: {"sku": {"name": "Standard_B1ms", "tier": "Burstable"}},
}
TAGS = {"tags": {"owner": "team"}}
ROWS: list[tuple[str, str, Any, int]] = [
    *(("HEAD", url, None, 204) for url in MADE if url != FEDERATED),
    *(("PATCH", url, TAGS, 200) for url in (CLUSTER, USER, NIC, NSG, IP, VNET)),
    *(("HEAD", f"{url}-other", None, 404) for url in (VNET, VM, CLUSTER)),
    ("GET", f"{COMPUTE}/virtualMachines", None, 200),
    ("POST", f"{VM}/instanceView", None, 200),
    ("GET", f"{NETWORK}/networkSecurityGroups", None, 200),
    ("GET", f"{NETWORK}/publicIPAddresses", None, 200),
    ("GET", f"{NETWORK}/virtualNetworks", None, 200),
    ("PUT", f"{NSG}/securityRules/ssh", {"properties": RULE}, 201),
    ("PUT", f"{NSG}/securityRules/again", {"properties": RULE}, 400),
    ("GET", f"{NSG}/securityRules", None, 200),
    ("GET", f"{NSG}/securityRules/ssh", None, 200),
    ("DELETE", f"{NSG}/securityRules/ssh", None, 202),
    ("GET", f"{IDENTITY}/userAssignedIdentities", None, 200),
    ("GET", FEDERATED, None, 200),
    ("PATCH", FEDERATED, TAGS, 405),
    ("PUT", f"{SERVER}/databases/dexter", {"properties": {}}, 202),
    ("GET", f"{SERVER}/databases/dexter", None, 200),
    ("DELETE", f"{SERVER}/databases/dexter", None, 202),
    ("PATCH", f"{SERVER}/configurations/log_statement", {"properties": {"value": "all"}}, 400),
    ("DELETE", f"{SERVER}/configurations/log_statement", None, 405),
    ("GET", f"{ACCOUNT}/blobServices", None, 200),
    ("GET", f"{ACCOUNT}/blobServices/default", None, 200),
    ("PUT", f"{ACCOUNT}/blobServices/other", {"properties": {}}, 405),
    ("PATCH", CONTAINER, {"properties": {"metadata": {"a": "b"}}}, 200),
    ("PUT", f"{CLUSTER}/agentPools/more", {"properties": {}}, 405),
    ("DELETE", NSG, None, 202),
    ("GET", f"{SCOPE}/providers/Microsoft.KeyVault/deletedManagedHSMs", None, 200),
    ("PUT", f"{SCOPE}/providers/Microsoft.KeyVault/locations/eastus2/deletedVaults/mine", {"properties": {}}, 405),
    ("GET", "/tenants", None, 200),
    ("GET", "/subscriptions", None, 200),
    ("GET", SCOPE, None, 200),
    ("GET", f"{SCOPE}/locations", None, 200),
    ("GET", f"{SCOPE}/providers", None, 200),
    ("GET", f"{SCOPE}/providers/Microsoft.KeyVault", None, 200),
    ("GET", f"{SCOPE}/providers/Microsoft.Nonsense", None, 404),
    ("PUT", f"{SCOPE}/providers/Microsoft.KeyVault/register", None, 405),
    ("GET", f"{GROUP_URL}/Microsoft.Compute/disks/disk", None, 404),
    ("PUT", f"{GROUP_URL}/Microsoft.Web/sites/site", {}, 404),
]

ROLES, GUID = f"{SCOPE}/providers/Microsoft.Authorization/roleAssignments", "11111111-0000-4000-8000-000000000000"
NO_USER = {"type": "UserAssigned", "userAssignedIdentities": {f"{USER}-other": {}}}
REFUSED: list[tuple[str, str, Any, tuple[int, str]]] = [
    ("PUT", ACCOUNT, {**MORE[ACCOUNT], "properties": {"isHnsEnabled": True}}, (400, "AccountPropertyCannotBeUpdated")),
    ("PUT", f"{CONTAINER}--s", {"properties": {}}, (400, "ContainerOperationFailure")),
    ("PUT", f"{SERVER}-new", {**MORE[SERVER], "properties": {}}, (400, "EngineCredentialsNotProvided")),
    ("PUT", f"{CLUSTER}-new", {"properties": MADE[CLUSTER], "identity": NO_USER}, (400, "FailedIdentityOperation")),
    ("PUT", f"{ROLES}/owner", {"properties": {}}, (400, "InvalidRoleAssignmentId")),
    ("PUT", f"{ROLES}/{GUID}", {"properties": {}}, (400, "InvalidCreateRoleAssignmentRequest")),
    ("PUT", f"{VNET}-new", [], (400, "InvalidRequestContent")),
    ("GET", f"{SCOPE}/providers/Microsoft.Nonsense", None, (404, "InvalidResourceNamespace")),
    ("GET", f"/subscriptions/{GUID}/resourceGroups", None, (404, "SubscriptionNotFound")),
]


def at_version(path: str) -> str:
    """A path with the version that its provider has."""
    types = path.rpartition("/providers/Microsoft.")[2].split("/") if "/providers/Microsoft." in path else []
    is_own = len(types) > 1 and types[1] != "register"
    return f"{path}?api-version={VERSIONS.get(types[0], '2022-09-01') if is_own else '2022-09-01'}"


@pytest.fixture(scope="module", autouse=True)
def stack(shared: World) -> None:
    """One resource of each kind."""
    for url, properties in MADE.items():
        body = {"location": LOCATION, "properties": properties, **MORE.get(url, {})}
        answer = shared.ask("PUT", at_version(url), body)
        assert answer.ok, answer.text
        shown = (shared.ask("GET", at_version(url)).json()["properties"] for _ in range(200))
        assert any(
            found.get("provisioningState", found.get("state")) in (None, "Succeeded", "Ready") for found in shown
        )


@pytest.mark.parametrize(
    ("method", "path", "body", "status"), ROWS, ids=[f"{row[0]}-{'/'.join(row[1].split('/')[-2:])}" for row in ROWS]
)
def test_an_operation_answers(shared: World, method: str, path: str, body: Any, status: int) -> None:
    answer = shared.ask(method, at_version(path), body)
    assert answer.status_code == status, answer.text
    if status >= 400 and method != "HEAD":
        assert answer.json()["error"]["code"]


@pytest.mark.parametrize(("method", "path", "body", "refusal"), REFUSED, ids=[refusal[1] for *_, refusal in REFUSED])
def test_a_request_that_cannot_be_carried_out_is_refused_with_azures_code_and_changes_nothing(
    shared: World, method: str, path: str, body: Any, refusal: tuple[int, str]
) -> None:
    given = {"location": LOCATION, **body} if isinstance(body, dict) else body
    before = shared.ask("GET", at_version(path)).json()
    assert shared.refusal(method, at_version(path), given) == refusal
    assert shared.ask("GET", at_version(path)).json() == before


def test_a_request_without_a_version_is_refused(shared: World) -> None:
    assert shared.refusal("GET", VNET) == (400, "MissingApiVersionParameter")


def test_a_network_security_group_of_a_subnet_is_not_deleted(shared: World) -> None:
    group, network = f"{NSG}-guarding", f"{VNET}-guarded"
    subnet = {"name": "guarded", "properties": {"addressPrefix": "10.0.9.0/24", "networkSecurityGroup": {"id": group}}}
    assert shared.ask("PUT", at_version(group), {"location": LOCATION, "properties": {}}).ok
    made = {"location": LOCATION, "properties": {**MADE[VNET], "subnets": [subnet]}}
    assert shared.ask("PUT", at_version(network), made).ok
    assert shared.refusal("DELETE", at_version(group)) == (400, "InUseNetworkSecurityGroupCannotBeDeleted")
    assert shared.ask("GET", at_version(group)).ok


@pytest.mark.parametrize(
    ("issuer", "audience", "code"),
    [
        ("", "https://vault.azure.net", "InvalidAuthenticationTokenAudience"),
        (f"https://sts.windows.net/{GUID}/", "https://management.azure.com", "InvalidAuthenticationTokenTenant"),
    ],
)
def test_a_token_for_another_service_or_of_another_tenant_is_refused(
    shared: World, monkeypatch: pytest.MonkeyPatch, issuer: str, audience: str, code: str
) -> None:
    if issuer:
        monkeypatch.setattr(shared.tokens, "issuer", issuer)
    token = shared.tokens.issue(shared.directory.operator, audience)
    monkeypatch.undo()
    monkeypatch.setattr(shared.tokens, "issue", lambda *_: token)
    assert shared.refusal("GET", at_version(VNET)) == (401, code)


def test_a_role_assignment_is_read_by_its_name(shared: World) -> None:
    base = f"{SCOPE}/providers/Microsoft.Authorization/roleAssignments"
    [owner] = shared.ask("GET", f"{base}?api-version=2022-04-01&$filter=atScope()").json()["value"]
    found = shared.ask("GET", f"{base}/{owner['name']}?api-version=2022-04-01").json()
    assert found["properties"]["principalId"] == shared.directory.operator.object_id
    other = f"{base}/11111111-0000-4000-8000-000000000000?api-version=2022-04-01"
    assert shared.refusal("GET", other) == (404, "RoleAssignmentNotFound")


@pytest.mark.parametrize("path", [".well-known/openid-configuration", "discovery/keys"])
def test_the_older_form_of_sign_in_tells_its_keys(shared: World, path: str) -> None:
    found = shared.ask("GET", f"https://login.microsoftonline.com/{TENANT_ID}/{path}")
    assert found.status_code == 200
    assert {"keys", "jwks_uri"} & set(found.json())
