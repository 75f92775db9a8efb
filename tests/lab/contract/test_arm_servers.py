"""Flexible servers through the real client."""

import logging

import pytest
from arm_world import LOCATION, World
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.postgresqlflexibleservers import PostgreSQLManagementClient

SERVER = "sonarqube-postgresql3"
FIRST, SECOND = "Canary-Server-1", "Canary-Server-2"


def body(**properties):
    given = {"administratorLogin": "dexter", "administratorLoginPassword": FIRST, "version": "17"}
    return {
        "location": LOCATION,
        "sku": {"name": "Standard_B1ms", "tier": "Burstable"},
        "properties": {**given, "storage": {"storageSizeGB": 64}, **properties},
    }


@pytest.fixture
def client(world: World, group: str) -> PostgreSQLManagementClient:
    return world.client(PostgreSQLManagementClient)


@pytest.fixture
def server(client, group):
    return client.servers.begin_create_or_update(group, SERVER, body()).result()


def test_a_server_gets_its_administrator_and_keeps_no_password(world, server, client, group):
    assert server.state == "Ready"
    assert server.fully_qualified_domain_name == f"{SERVER}.postgres.database.azure.com"
    assert (server.administrator_login, server.version) == ("dexter", "17")
    assert world.backends.servers == {SERVER: ("dexter", FIRST, "17")}
    assert FIRST not in str(client.servers.get(group, SERVER).as_dict())
    assert [item.name for item in client.servers.list_by_resource_group(group)] == [SERVER]


def test_the_password_is_changed_by_patch(world, server, client, group):
    changed = client.servers.begin_update(
        group, SERVER, {"properties": {"administratorLoginPassword": SECOND}}
    ).result()
    assert changed.state == "Ready"
    assert world.backends.servers == {SERVER: ("dexter", SECOND, "17")}
    assert SECOND not in str(client.servers.get(group, SERVER).as_dict())


def test_passwords_stay_out_of_logs_and_errors(world, client, group, caplog):
    caplog.set_level(logging.DEBUG)
    world.backends.failure = RuntimeError(f"could not run with {FIRST}")
    with pytest.raises(HttpResponseError) as caught:
        client.servers.begin_create_or_update(group, SERVER, body()).result()
    assert FIRST not in str(caught.value)
    assert FIRST not in caplog.text
    assert client.servers.get(group, SERVER).state == "Disabled"
    world.backends.failure = None
    assert client.servers.begin_create_or_update(group, SERVER, body()).result().state == "Ready"


@pytest.mark.parametrize("password", ["short1A", "alllowercaseletters", "My-dexter-1"])
def test_a_weak_password_is_refused_without_repeating_it(world, client, group, password):
    with pytest.raises(HttpResponseError) as caught:
        client.servers.begin_create_or_update(group, SERVER, body(administratorLoginPassword=password))
    assert (caught.value.status_code, caught.value.error.code) == (400, "PasswordTooWeak")
    assert password not in str(caught.value)
    assert world.backends.servers == {}


@pytest.mark.parametrize("name", ["Upper-case", "-hyphen", "ab", "under_score"])
def test_a_name_that_azure_refuses_is_refused(world, client, group, name):
    with pytest.raises((HttpResponseError, ValueError)) as caught:
        client.servers.begin_create_or_update(group, name, body())
    if isinstance(caught.value, HttpResponseError):
        assert (caught.value.status_code, caught.value.error.code) == (400, "InvalidParameterValue")
    assert world.backends.servers == {}


def test_a_reserved_administrator_is_refused(client, group):
    with pytest.raises(HttpResponseError) as caught:
        client.servers.begin_create_or_update(group, SERVER, body(administratorLogin="azure_superuser"))
    assert caught.value.error.target == "administratorLogin"


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"administratorLogin": "somebody"}, "properties.administratorLogin"),
        ({"version": "13"}, "properties.version"),
        ({"storage": {"storageSizeGB": 32}}, "properties.storage.storageSizeGB"),
    ],
)
def test_what_cannot_change_in_place_is_named(world, server, client, group, change, target):
    with pytest.raises(HttpResponseError) as caught:
        client.servers.begin_create_or_update(group, SERVER, body(**change))
    assert (caught.value.status_code, caught.value.error.code) == (400, "PropertyChangeNotAllowed")
    assert caught.value.error.target == target
    assert world.backends.servers == {SERVER: ("dexter", FIRST, "17")}


def test_a_firewall_rule_is_written_to_a_ready_server(world, server, client, group):
    rule = {"properties": {"startIpAddress": "203.0.113.1", "endIpAddress": "203.0.113.9"}}
    made = client.firewall_rules.begin_create_or_update(group, SERVER, "office", rule).result()
    assert (made.name, made.start_ip_address, made.end_ip_address) == ("office", "203.0.113.1", "203.0.113.9")
    assert [item.name for item in client.firewall_rules.list_by_server(group, SERVER)] == ["office"]
    client.firewall_rules.begin_delete(group, SERVER, "office").result()
    with pytest.raises(ResourceNotFoundError):
        client.firewall_rules.get(group, SERVER, "office")


def test_a_firewall_rule_backwards_is_refused(server, client, group):
    rule = {"properties": {"startIpAddress": "203.0.113.9", "endIpAddress": "203.0.113.1"}}
    with pytest.raises(HttpResponseError) as caught:
        client.firewall_rules.begin_create_or_update(group, SERVER, "office", rule)
    assert caught.value.error.code == "InvalidParameterValue"


def test_a_firewall_rule_needs_its_server(client, group):
    rule = {"properties": {"startIpAddress": "203.0.113.1", "endIpAddress": "203.0.113.1"}}
    with pytest.raises(ResourceNotFoundError) as caught:
        client.firewall_rules.begin_create_or_update(group, SERVER, "office", rule)
    assert caught.value.error.code == "ParentResourceNotFound"


def test_a_busy_server_does_one_thing_at_a_time(world, server, client, group):
    world.pause()
    poller = client.servers.begin_update(group, SERVER, {"properties": {"administratorLoginPassword": SECOND}})
    rule = {"properties": {"startIpAddress": "203.0.113.1", "endIpAddress": "203.0.113.1"}}
    with pytest.raises(ResourceExistsError) as caught:
        client.firewall_rules.begin_create_or_update(group, SERVER, "office", rule)
    assert caught.value.error.code == "ServerBusy"
    assert client.servers.get(group, SERVER).state == "Updating"
    world.resume()
    poller.result()


def test_databases_are_listed(server, client, group):
    assert "postgres" in [item.name for item in client.databases.list_by_server(group, SERVER)]


def test_a_deleted_server_is_stopped(world, server, client, group):
    client.servers.begin_delete(group, SERVER).result()
    assert world.backends.servers == {}
    with pytest.raises(ResourceNotFoundError) as caught:
        client.servers.get(group, SERVER)
    assert caught.value.error.code == "ResourceNotFound"
    client.servers.begin_delete(group, SERVER).result()
