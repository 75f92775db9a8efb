"""Flexible Servers of PostgreSQL and the addresses that reach them.

The administrator's login and password are handed in by the task that reads them from the vault, and go nowhere
but into the request.
https://learn.microsoft.com/azure/postgresql/flexible-server/concepts-security
"""

from azure.mgmt.postgresqlflexibleservers import PostgreSQLManagementClient, models

from infra.azure.credentials import managed
from infra.azure.errors import translated
from infra.azure.names import get_location
from infra.azure.operations import OnProgress, finish, get_state, ignore
from infra.errors import NotFound
from infra.provisioning.plan import Found, State
from infra.provisioning.resources import DatabaseServer, FirewallRule
from infra.settings import Settings

ROLE = "Contributor"
DOMAIN = "postgres.database.azure.com"


def get_host(name: str) -> str:
    """Return the host name of a Flexible Server."""
    return f"{name}.{DOMAIN}"


def find_server(name: str, group: str, settings: Settings) -> Found | None:
    """Return a Flexible Server, or what speaks against its name, or None."""
    with managed(PostgreSQLManagementClient, settings) as client:
        try:
            with translated("Cannot look at the Flexible Server", name=name, role="Reader", scope=group):
                found = client.servers.get(group, name)
        except NotFound:
            return _find_taken(client, name)
    said = _word(found.properties and found.properties.state)
    return Found(_seen(found, name), get_state(said), said)


def create_server(
    wanted: DatabaseServer,
    administrator: str,
    password: str,
    group: str,
    settings: Settings,
    on_progress: OnProgress = ignore,
) -> None:
    """Make a server with password authentication, reached over public addresses and TLS."""
    server = models.Server(
        location=wanted.location,
        sku=models.Sku(name=wanted.size, tier=get_tier(wanted.size)),
        properties=models.ServerProperties(
            version=wanted.version,
            administrator_login=administrator,
            administrator_login_password=password,
            create_mode="Create",
            storage=models.Storage(storage_size_gb=wanted.storage_gb),
            auth_config=models.AuthConfig(password_auth="Enabled", active_directory_auth="Disabled"),  # noqa: S106
            network=models.Network(public_network_access="Enabled"),
        ),
    )
    with (
        translated("Cannot create the Flexible Server", name=wanted.name, role=ROLE, scope=f"the group {group}"),
        managed(PostgreSQLManagementClient, settings) as client,
    ):
        poller = client.servers.begin_create_or_update(group, wanted.name, server)
        finish(poller, f"Creating the Flexible Server {wanted.name}", on_progress)


def change_server(wanted: DatabaseServer, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Change a server's size; it restarts for that."""
    patch = models.ServerForPatch(sku=models.SkuForPatch(name=wanted.size, tier=get_tier(wanted.size)))
    with (
        translated("Cannot change the Flexible Server", name=wanted.name, role=ROLE, scope=f"the group {group}"),
        managed(PostgreSQLManagementClient, settings) as client,
    ):
        poller = client.servers.begin_update(group, wanted.name, patch)
        finish(poller, f"Changing the Flexible Server {wanted.name}", on_progress)


def set_administrator_password(
    name: str, password: str, group: str, settings: Settings, on_progress: OnProgress = ignore
) -> None:
    """Give a server's administrator another password; open sessions go on, and the server does not restart.

    Raises:
        AccessDenied: the caller may not.
        Conflict: another operation is under way on the server.
        ServiceFailed: the operation failed, or did not end within its bound.
    """
    patch = models.ServerForPatch(properties=models.ServerPropertiesForPatch(administrator_login_password=password))
    with (
        translated("Cannot change the administrator's password", name=name, role=ROLE, scope=f"the group {group}"),
        managed(PostgreSQLManagementClient, settings) as client,
    ):
        poller = client.servers.begin_update(group, name, patch)
        finish(poller, f"Changing the administrator's password of {name}", on_progress)


def find_firewall_rule(name: str, server: str, group: str, settings: Settings) -> Found | None:
    """Return a firewall rule of a server, or None."""
    try:
        with (
            translated("Cannot look at the firewall rule", name=f"{server}/{name}", role="Reader", scope=group),
            managed(PostgreSQLManagementClient, settings) as client,
        ):
            found = client.firewall_rules.get(group, server, name).properties
    except NotFound:
        return None
    return Found(
        FirewallRule(name=name, parent=server, first_address=found.start_ip_address, last_address=found.end_ip_address)
    )


def put_firewall_rule(wanted: FirewallRule, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Make or change a firewall rule."""
    rule = models.FirewallRule(
        properties=models.FirewallRuleProperties(
            start_ip_address=wanted.first_address, end_ip_address=wanted.last_address
        )
    )
    with (
        translated("Cannot create the firewall rule", name=wanted.label, role=ROLE, scope=f"the group {group}"),
        managed(PostgreSQLManagementClient, settings) as client,
    ):
        poller = client.firewall_rules.begin_create_or_update(group, wanted.parent, wanted.name, rule)
        finish(poller, f"Creating the firewall rule {wanted.label}", on_progress)


def get_tier(size: str) -> str:
    """Return the tier that a size belongs to: B is burstable, E has much memory, the rest is general."""
    letter = size.removeprefix("Standard_")[:1].upper()
    return {"B": "Burstable", "E": "MemoryOptimized"}.get(letter, "GeneralPurpose")


def _find_taken(client: PostgreSQLManagementClient, name: str) -> Found | None:
    request = models.CheckNameAvailabilityRequest(name=name, type="Microsoft.DBforPostgreSQL/flexibleServers")
    with translated("Cannot check the Flexible Server's name", name=name, role="Reader", scope="the subscription"):
        answer = client.name_availability.check_globally(request)
    if answer.name_available:
        return None
    return Found(None, State.TAKEN, answer.message or "", _word(answer.reason))


def _seen(found: models.Server, name: str) -> DatabaseServer:
    properties = found.properties or models.ServerProperties()
    public = properties.network and properties.network.public_network_access
    login = properties.administrator_login
    return DatabaseServer(
        name=name,
        location=get_location(found.location),
        version=_word(properties.version),
        administrators=(login,) if login else None,
        public_access=_word(public) != "Disabled",
        size=_word(found.sku and found.sku.name),
    )


def _word(value: object) -> str:
    return str(getattr(value, "value", value) or "")
