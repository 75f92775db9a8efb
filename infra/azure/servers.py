"""Flexible Servers of PostgreSQL and the addresses that reach them.

The administrator's login is read from the vault where it is used, and goes nowhere but into the request.
https://learn.microsoft.com/azure/postgresql/flexible-server/concepts-security
"""

from typing import TYPE_CHECKING

from azure.mgmt.postgresqlflexibleservers import PostgreSQLManagementClient, models

from infra.azure.arm import ArmKind, as_found, as_taken, get_location, unless_hidden, word
from infra.azure.errors import translated
from infra.azure.names import SERVER_TYPE
from infra.credentials import Login
from infra.provisioning.kinds import Found, OnProgress, ignore
from infra.provisioning.resources import NEW_SERVER_VERSION, DatabaseServer, FirewallRule

if TYPE_CHECKING:
    from infra.azure.client import Azure


def list_server_names(azure: "Azure", group: str) -> tuple[str, ...]:
    """Return the Flexible Servers of a resource group, by name.

    Raises:
        AccessDenied: the caller may not read them.
        NotFound: there is no such group.
    """
    scope = f"the resource group {group}"
    with (
        translated("Cannot list the Flexible Servers", name=group, role="Reader", scope=scope),
        azure.management(PostgreSQLManagementClient) as client,
    ):
        return tuple(sorted(str(found.name) for found in client.servers.list_by_resource_group(group)))


class DatabaseServers(ArmKind[DatabaseServer, PostgreSQLManagementClient]):
    """Flexible Servers."""

    resource = DatabaseServer
    action = "Microsoft.DBforPostgreSQL/flexibleServers/write"
    unique_in_azure = True
    open_client = PostgreSQLManagementClient

    def find(self, wanted: DatabaseServer) -> Found | None:
        """Return a Flexible Server, or the objection to its name, or None."""
        found = self._find(wanted.name)
        if found is None:
            return unless_hidden(lambda: self._find_taken(wanted.name))
        return as_found(_seen(found, wanted.name), found.properties and found.properties.state)

    def put(self, wanted: DatabaseServer, on_progress: OnProgress = ignore) -> None:
        """Make a server whose administrator has the login in the vault, or change the existing one's size.

        A server restarts when its size changes.
        """
        if self._find(wanted.name) is None:
            self._create(wanted, on_progress)
            return
        patch = models.ServerForPatch(sku=models.SkuForPatch(name=wanted.size, tier=get_tier(wanted.size)))
        with self.changing(wanted.name, "change") as client:
            poller = client.servers.begin_update(self.group, wanted.name, patch)
            self.follow(poller, "Changing", wanted.name, on_progress)

    def set_administrator_password(self, name: str, password: str, on_progress: OnProgress = ignore) -> None:
        """Give a server's administrator another password; open sessions continue, and the server does not restart.

        Raises:
            AccessDenied: the caller may not.
            Conflict: another operation is running on the server.
            ServiceFailed: the operation failed, or timed out.
        """
        patch = models.ServerForPatch(properties=models.ServerPropertiesForPatch(administrator_login_password=password))
        with self.changing(name, "change the administrator's password of") as client:
            poller = client.servers.begin_update(self.group, name, patch)
            self.follow(poller, "Changing the administrator's password of", name, on_progress)

    def _create(self, wanted: DatabaseServer, on_progress: OnProgress) -> None:
        """Make a server with password authentication, reached over public addresses and TLS."""
        server = _new(wanted, self._read_login(wanted))
        with self.changing(wanted.name) as client:
            poller = client.servers.begin_create_or_update(self.group, wanted.name, server)
            self.follow(poller, "Creating", wanted.name, on_progress)

    def _read_login(self, wanted: DatabaseServer) -> Login:
        assert wanted.secrets
        vault = self.azure.vault(wanted.vault)
        return wanted.secrets.parse({name: vault.read(name) for name in wanted.secrets.names})

    def _find(self, name: str) -> models.Server | None:
        return self.look(name, lambda client: client.servers.get(self.group, name))

    def _find_taken(self, name: str) -> Found | None:
        request = models.CheckNameAvailabilityRequest(name=name, type=SERVER_TYPE)
        with (
            translated(
                "Cannot check the Flexible Server's name", name=name, role="Contributor", scope="the subscription"
            ),
            self.azure.management(PostgreSQLManagementClient) as client,
        ):
            answer = client.name_availability.check_globally(request)
        return as_taken(answer.name_available, answer.message, answer.reason)


class FirewallRules(ArmKind[FirewallRule, PostgreSQLManagementClient]):
    """Firewall rules of Flexible Servers."""

    resource = FirewallRule
    action = "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules/write"
    open_client = PostgreSQLManagementClient

    def find(self, wanted: FirewallRule) -> Found | None:
        """Return a firewall rule of a server, or None."""
        server, name = wanted.parent, wanted.name
        found = self.look(wanted.label, lambda client: client.firewall_rules.get(self.group, server, name).properties)
        if found is None:
            return None
        first, last = found.start_ip_address, found.end_ip_address
        return Found(FirewallRule(name=name, parent=server, first_address=first, last_address=last))

    def put(self, wanted: FirewallRule, on_progress: OnProgress = ignore) -> None:
        """Make or change a firewall rule."""
        rule = models.FirewallRule(
            properties=models.FirewallRuleProperties(
                start_ip_address=wanted.first_address, end_ip_address=wanted.last_address
            )
        )
        with self.changing(wanted.label) as client:
            poller = client.firewall_rules.begin_create_or_update(self.group, wanted.parent, wanted.name, rule)
            self.follow(poller, "Creating", wanted.label, on_progress)


def get_tier(size: str) -> str:
    """Return the tier that a size belongs to: B is burstable, E has much memory, the rest is general."""
    letter = size.removeprefix("Standard_")[:1].upper()
    return {"B": "Burstable", "E": "MemoryOptimized"}.get(letter, "GeneralPurpose")


def _new(wanted: DatabaseServer, login: Login) -> models.Server:
    return models.Server(
        location=wanted.location,
        sku=models.Sku(name=wanted.size, tier=get_tier(wanted.size)),
        properties=models.ServerProperties(
            version=wanted.version or NEW_SERVER_VERSION,
            administrator_login=login.username,
            administrator_login_password=login.password,
            create_mode="Create",
            storage=models.Storage(storage_size_gb=wanted.storage_gb),
            auth_config=models.AuthConfig(password_auth="Enabled", active_directory_auth="Disabled"),  # noqa: S106
            network=models.Network(public_network_access="Enabled"),
        ),
    )


def _seen(found: models.Server, name: str) -> DatabaseServer:
    properties = found.properties or models.ServerProperties()
    public = properties.network and properties.network.public_network_access
    login = properties.administrator_login
    return DatabaseServer(
        name=name,
        location=get_location(found.location),
        version=word(properties.version),
        administrators=(login,) if login else None,
        public_access=word(public) != "Disabled",
        size=word(found.sku and found.sku.name),
    )
