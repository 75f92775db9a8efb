"""A fleet for benchmarks and tests: vaults, Flexible Servers, and credentials that rotate in place without consumers.

Everything is made in the walkthrough's lab by the product's own adapters. Key Vault's limits of transactions hold there
as in Azure, for each vault.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from psycopg import sql

from infra.azure.roles import RoleAssignments
from infra.azure.servers import DatabaseServers, get_host
from infra.azure.vaults import Vaults
from infra.postgres.addresses import Address, Tls
from infra.postgres.database import Database
from infra.provisioning.options import ProvisionOptions
from infra.provisioning.resources import DatabaseServer, Vault
from infra.provisioning.wanted import SECRETS_OFFICER, role
from infra.rotation.new_logins import generate_password
from testing.rotating import STACK, World
from testing.walkthrough import SERVER

HANDS = 8
"""Threads that make the fleet."""


def name_credential(number: int) -> str:
    """Return the name of a credential, which is that of its login, too."""
    return f"fleet-{number:04}"


class Fleet:
    """The fleet's vaults, servers and credentials.

    Args:
        world: the lab that they are made in.
        vaults: how many vaults.
        servers: how many Flexible Servers.
    """

    def __init__(self, world: World, vaults: int, servers: int) -> None:
        self.world, self.azure = world, world.azure
        self.vaults = tuple(f"fleet-kv-{number:02}" for number in range(vaults))
        self.servers = tuple(f"fleet-server-{number:02}" for number in range(servers))
        self._inventory = world.lab.state_dir / "fleet.yaml"

    def build(self, credentials: int, logins: int) -> None:
        """Make all of it.

        Args:
            credentials: how many have secrets, which is enough to be looked at.
            logins: how many of them, the first ones, have a login and can be rotated.
        """
        tenant = self.azure.get_caller().tenant_id
        passwords = [generate_password() for _ in range(credentials)]
        _do(lambda name: self._make_vault(name, tenant), self.vaults)
        _do(self._make_server, self.servers)
        _do(lambda number: self._write(number, passwords[number]), range(credentials))
        _do(lambda name: self._make_logins(name, passwords[:logins]), self.servers)

    def list_in_inventory(self, credentials: int) -> tuple[str, ...]:
        """Make the first credentials the whole inventory of this process, and return their names."""
        entries = {name_credential(number): self._entry(number) for number in range(credentials)}
        self._inventory.write_text(yaml.safe_dump({"credentials": entries}))
        os.environ["KEYTURN_CREDENTIALS"] = str(self._inventory)
        return tuple(entries)

    def read_passwords(self, credentials: int) -> dict[str, str]:
        """Return the newest passwords of the first credentials, by name."""
        return {
            name_credential(number): self.azure.vault(self._vault_of(number)).read(f"password-{number:04}")
            for number in range(credentials)
        }

    def count_refused_logins(self) -> int:
        """Return how many logins the servers have refused so far."""
        logs = Path(self.world.lab.state_dir, "logs").glob("server-*-fleet-server-*.log")
        return sum(log.read_text(errors="replace").count("password authentication failed") for log in logs)

    def _entry(self, number: int) -> dict[str, Any]:
        """Return a credential as people write it."""
        cluster = SERVER.cluster.model_dump(mode="json", include={"name", "resource_group"})
        server = self.servers[number % len(self.servers)]
        return {
            "vault": self._vault_of(number),
            "secrets": {"kind": "pair", "username": f"username-{number:04}", "password": f"password-{number:04}"},
            "cluster": cluster,
            "lock_namespace": SERVER.lock_namespace,
            "endpoint": {"kind": "flexible-server", "server": server, "resource_group": STACK.resource_group},
            "strategy": "in-place",
            "every": "60d",
        }

    def _vault_of(self, number: int) -> str:
        return self.vaults[number % len(self.vaults)]

    def _make_vault(self, name: str, tenant: str) -> None:
        group = STACK.resource_group
        vault = Vault(name=name, resource_group=group.lower(), location=STACK.location, tenant=tenant)
        Vaults(self.azure, group).put(vault)
        RoleAssignments(self.azure, group).put(role(SECRETS_OFFICER, vault, None))

    def _make_server(self, name: str) -> None:
        server = DatabaseServer(
            name=name,
            location=STACK.location,
            version=None,
            administrators=None,
            size=ProvisionOptions().server_size,
            vault=SERVER.vault,
            secrets=SERVER.secrets,
        )
        DatabaseServers(self.azure, STACK.resource_group).put(server)

    def _write(self, number: int, password: str) -> None:
        vault = self.azure.vault(self._vault_of(number))
        vault.write(f"username-{number:04}", name_credential(number))
        vault.write(f"password-{number:04}", password)

    def _make_logins(self, server: str, passwords: list[str]) -> None:
        vault = self.azure.vault(SERVER.vault)
        administrator = SERVER.secrets.parse({name: vault.read(name) for name in SERVER.secrets.names})
        database = Database(Address(get_host(server), 5432, "postgres", Tls.VERIFY_FULL), self.world.settings)
        create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        first = self.servers.index(server)
        with database.connected(administrator) as connection:
            for number in range(first, len(passwords), len(self.servers)):
                connection.execute(
                    create.format(sql.Identifier(name_credential(number)), sql.Literal(passwords[number]))
                )


def _do(act: Callable[[Any], object], what: Iterable[Any]) -> None:
    with ThreadPoolExecutor(HANDS) as hands:
        list(hands.map(act, what))
