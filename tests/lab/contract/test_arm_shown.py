"""What is only read: marks of a resource, how a machine is, what a region offers, and whom Graph knows."""

from typing import Any

import pytest
import requests
from arm_world import GROUP, LOCATION, SCOPE, World

from lab.azure.arm.server_rules import STORAGE_GB
from lab.control.options import OPERATOR_CLIENT_ID

GROUP_URL = f"{SCOPE}/resourceGroups/{GROUP}/providers"
NETWORK, COMPUTE = f"{GROUP_URL}/Microsoft.Network", f"{GROUP_URL}/Microsoft.Compute/virtualMachines/vm"
SERVER = f"{GROUP_URL}/Microsoft.DBforPostgreSQL/flexibleServers/shownserver"
VERSIONS = {"Network": "2024-05-01", "Compute": "2024-07-01", "DBforPostgreSQL": "2024-08-01"}
GRAPH = "https://graph.microsoft.com/v1.0"


def ask(world: World, method: str, path: str, body: Any = None, query: str = "") -> requests.Response:
    """Ask for a path by the version of its provider, and wait until it is no longer busy."""
    provider = path.partition("/providers/Microsoft.")[2].partition("/")[0]
    url = f"{path}?api-version={VERSIONS.get(provider, '2025-01-01')}{query}"
    answer = world.ask(method, url, {"location": LOCATION, **body} if body is not None else None)
    assert answer.ok, answer.text
    if operation := answer.headers.get("Azure-AsyncOperation"):
        states = (world.ask("GET", operation).json()["status"] for _ in range(200))
        assert "Succeeded" in states
    return answer


@pytest.fixture(scope="module")
def machine(shared: World) -> dict[str, Any]:
    """A machine, with all that it stands on."""
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}
    subnets = {"subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}]}
    ask(shared, "PUT", f"{NETWORK}/virtualNetworks/vnet", {"properties": space | subnets})
    settings = {"subnet": {"id": f"{NETWORK}/virtualNetworks/vnet/subnets/default"}}
    interface = {"properties": {"ipConfigurations": [{"name": "main", "properties": settings}]}}
    ask(shared, "PUT", f"{NETWORK}/networkInterfaces/nic", interface)
    properties = {
        "hardwareProfile": {"vmSize": "Standard_B1s"},
        "storageProfile": {
            "imageReference": {
                "publisher": "Canonical",
                "offer": "ubuntu-24_04-lts",
                "sku": "server",
                "version": "latest",
            }
        },
        "osProfile": {"computerName": "AzureVM", "adminUsername": "azureuser", "adminPassword": "Canary-Machine-1"},
        "networkProfile": {"networkInterfaces": [{"id": f"{NETWORK}/networkInterfaces/nic"}]},
    }
    ask(shared, "PUT", COMPUTE, {"properties": properties})
    found: dict[str, Any] = ask(shared, "GET", COMPUTE, query="&$expand=instanceView").json()
    return found


def test_a_machine_says_how_it_is_if_it_is_asked(shared: World, machine: dict[str, Any]) -> None:
    view = machine["properties"]["instanceView"]
    assert [status["code"] for status in view["statuses"]] == ["ProvisioningState/succeeded", "PowerState/running"]
    assert view["computerName"] == "AzureVM"
    assert "instanceView" not in ask(shared, "GET", COMPUTE).json()["properties"]


def test_an_interface_has_a_mac_address_once_a_machine_has_it(shared: World, machine: dict[str, Any]) -> None:
    shown = ask(shared, "GET", f"{NETWORK}/networkInterfaces/nic").json()
    assert shown["properties"]["macAddress"].startswith("00-0D-3A-")
    assert shown["properties"]["virtualMachine"]["id"] == machine["id"]


def test_a_security_group_shows_the_rules_that_every_group_has(shared: World) -> None:
    ask(shared, "PUT", f"{NETWORK}/networkSecurityGroups/shown", {"properties": {}})
    shown = ask(shared, "GET", f"{NETWORK}/networkSecurityGroups/shown").json()["properties"]
    priorities = [(rule["name"], rule["properties"]["priority"]) for rule in shown["defaultSecurityRules"]]
    assert priorities[:3] == [
        ("AllowVnetInBound", 65000),
        ("AllowAzureLoadBalancerInBound", 65001),
        ("DenyAllInBound", 65500),
    ]
    ask(shared, "PUT", f"{NETWORK}/networkSecurityGroups/shown", {"properties": shown})
    again = ask(shared, "GET", f"{NETWORK}/networkSecurityGroups/shown").json()["properties"]
    assert len(again["defaultSecurityRules"]) == 6
    assert again["securityRules"] == []


def test_an_etag_changes_with_each_write_and_is_not_taken_from_a_caller(shared: World) -> None:
    url, body = f"{NETWORK}/networkSecurityGroups/marked", {"properties": {}, "etag": 'W/"mine"'}
    ask(shared, "PUT", url, body)
    first = ask(shared, "GET", url).json()["etag"]
    ask(shared, "PUT", url, body)
    second = ask(shared, "GET", url).json()["etag"]
    assert first != second
    assert 'W/"mine"' not in (first, second)


def test_a_resource_says_who_made_it(shared: World) -> None:
    url = f"{GROUP_URL}/Microsoft.ManagedIdentity/userAssignedIdentities/shown?api-version=2024-11-30"
    made = shared.ask("PUT", url, {"location": LOCATION, "systemData": {"createdBy": "me"}}).json()["systemData"]
    again = shared.ask("PUT", url, {"location": LOCATION}).json()["systemData"]
    assert (made["createdBy"], made["createdByType"]) == (OPERATOR_CLIENT_ID, "Application")
    assert again["createdAt"] == made["createdAt"]
    assert again["lastModifiedAt"] > made["lastModifiedAt"]


def test_a_server_shows_its_parameters_and_changes_none(shared: World) -> None:
    given = {"administratorLogin": "dexter", "administratorLoginPassword": "Canary-Server-1", "version": "17"}
    body = {"sku": {"name": "Standard_B1ms", "tier": "Burstable"}, "properties": given}
    ask(shared, "PUT", SERVER, body)
    listed = ask(shared, "GET", f"{SERVER}/configurations").json()["value"]
    assert "password_encryption" in [parameter["name"] for parameter in listed]
    one = f"{SERVER}/configurations/password_encryption?api-version=2024-08-01"
    assert shared.ask("GET", one).json()["properties"]["value"] == "scram-sha-256"
    assert shared.refusal("PUT", one, {"properties": {"value": "md5"}}) == (400, "ReadOnlyConfiguration")
    assert ask(shared, "GET", f"{SERVER}/capabilities").json()["value"][0]["name"] == "FlexibleServerCapabilities"
    unknown = one.replace("password_encryption", "nonsense")
    assert shared.refusal("GET", unknown) == (404, "ConfigurationNotExists")


def test_a_region_tells_what_it_offers(shared: World) -> None:
    def offered(path: str, version: str) -> dict[str, Any]:
        found: dict[str, Any] = shared.ask("GET", f"{SCOPE}/providers/{path}?api-version={version}").json()
        return found

    sizes = offered("Microsoft.Compute/locations/eastus2/vmSizes", "2024-07-01")["value"]
    assert {"Standard_B1s", "Standard_D2s_v5"} <= {size["name"] for size in sizes}
    releases = offered("Microsoft.ContainerService/locations/eastus2/kubernetesVersions", "2025-01-01")["values"]
    assert [release["version"] for release in releases if release.get("isDefault")] == ["1.34"]
    [server] = offered("Microsoft.DBforPostgreSQL/locations/eastus2/capabilities", "2024-08-01")["value"]
    tiers = {tier["name"]: tier for tier in server["supportedServerEditions"]}
    assert "Standard_B1ms" in [sku["name"] for sku in tiers["Burstable"]["supportedServerSkus"]]
    storage = tiers["Burstable"]["supportedStorageEditions"][0]["supportedStorageMb"]
    assert [size["storageSizeMb"] // 1024 for size in storage] == list(STORAGE_GB)
    assert "17" in [version["name"] for version in server["supportedServerVersions"]]
    assert "13" not in [version["name"] for version in server["supportedServerVersions"]]


def test_a_region_that_does_not_exist_offers_nothing(shared: World) -> None:
    url = f"{SCOPE}/providers/Microsoft.Compute/locations/nowhere/vmSizes?api-version=2024-07-01"
    assert shared.refusal("GET", url) == (400, "LocationNotAvailableForResourceType")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/servicePrincipals?$filter=servicePrincipalNames/any(c:c eq '{OPERATOR_CLIENT_ID}')", None),
        ("GET", f"/servicePrincipals?$filter=appId eq '{OPERATOR_CLIENT_ID}'", None),
        ("GET", "/servicePrincipals/OPERATOR", None),
        ("POST", "/directoryObjects/getByIds", {"ids": ["OPERATOR", "11111111-0000-4000-8000-000000000000"]}),
    ],
)
def test_graph_tells_the_service_principals(shared: World, method: str, path: str, body: Any) -> None:
    operator = shared.directory.operator.object_id
    given = {"ids": [item.replace("OPERATOR", operator) for item in body["ids"]]} if body else None
    answer = shared.ask(method, GRAPH + path.replace("OPERATOR", operator), given).json()
    found = answer.get("value", [answer])
    assert [(shown["id"], shown["appId"], shown["displayName"]) for shown in found] == [
        (operator, OPERATOR_CLIENT_ID, "keyturn-operator")
    ]


@pytest.mark.parametrize(
    ("method", "path", "refusal"),
    [
        ("GET", "/servicePrincipals/11111111-0000-4000-8000-000000000000", (404, "Request_ResourceNotFound")),
        ("GET", "/servicePrincipals?$filter=tags/any()", (400, "Request_UnsupportedQuery")),
        ("GET", "/users", (400, "BadRequest")),
        ("POST", "/servicePrincipals", (400, "BadRequest")),
    ],
)
def test_what_graph_does_not_have_is_refused(shared: World, method: str, path: str, refusal: tuple[int, str]) -> None:
    assert shared.refusal(method, GRAPH + path, {} if method == "POST" else None) == refusal


def test_graph_is_closed_to_those_without_a_permission(shared: World) -> None:
    somebody = shared.directory.add_application("somebody")[0]
    url = f"{GRAPH}/servicePrincipals"
    assert shared.refusal("GET", url, principal=somebody) == (403, "Authorization_RequestDenied")
