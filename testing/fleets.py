"""A fleet for benchmarks and tests: vaults, Flexible Servers, and credentials that rotate in place.

Everything is made in the walkthrough's lab by the product's own adapters. Key Vault's limits of transactions hold there
as in Azure, for each vault. Some credentials have a workload: a Deployment whose pod mounts the credential by the CSI
driver and has it in its environment.
"""

import os
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from psycopg import sql

from infra.azure.names import get_host
from infra.azure.roles import RoleAssignments
from infra.azure.servers import DatabaseServers
from infra.azure.vaults import Vaults
from infra.credentials import Consumer, CsiDelivery, WorkloadRef
from infra.kubernetes.manifests import apply
from infra.kubernetes.workloads import open_workload
from infra.postgres.addresses import Address, Tls
from infra.postgres.database import Database
from infra.provisioning.options import ProvisionOptions
from infra.provisioning.resources import DatabaseServer, Identity, Vault
from infra.provisioning.wanted import SECRETS_OFFICER, SECRETS_USER, role
from infra.rotation.candidate import name_candidate
from infra.rotation.new_logins import generate_password
from lab.control import network
from testing.processes import PROC
from testing.rotating import KEYS, NAMESPACE, STACK, World
from testing.walkthrough import DATABASE, SERVER

HANDS = 8
"""Threads that make the fleet."""
CLASS_API = "secrets-store.csi.x-k8s.io/v1"
CLASSES = f"/apis/{CLASS_API}/namespaces/{NAMESPACE}/secretproviderclasses"
READY_SECONDS = 300


def name_credential(number: int) -> str:
    """Return the name of a credential, which is that of its login, too."""
    return f"fleet-{number:04}"


def number_of(name: str) -> int:
    """Return the number of a credential."""
    return int(name.rpartition("-")[2])


class Fleet:
    """The fleet's vaults, servers and credentials.

    Args:
        world: the lab that they are made in.
        vaults: how many vaults.
        servers: how many Flexible Servers.
    """

    def __init__(self, world: World, vaults: int, servers: int) -> None:
        self.world, self.azure = world, world.azure
        self.with_workload = frozenset[int]()
        self.vaults = tuple(f"fleet-kv-{number:02}" for number in range(vaults))
        self.servers = tuple(f"fleet-server-{number:02}" for number in range(servers))
        self._inventory = world.lab.state_dir / "fleet.yaml"

    def build(self, credentials: int, logins: int, workloads: int = 0) -> None:
        """Make all of it.

        Args:
            credentials: how many have secrets, which is enough to be looked at.
            logins: how many of them, the first ones, have a login and can be rotated.
            workloads: how many of these have a workload; spread evenly, so the first ones have as large a share.
        """
        tenant = self.azure.get_caller().tenant_id
        passwords = [generate_password() for _ in range(credentials)]
        _do(lambda name: self._make_vault(name, tenant), self.vaults)
        _do(self._make_server, self.servers)
        _do(lambda number: self._write(number, passwords[number]), range(credentials))
        _do(lambda name: self._make_logins(name, passwords[:logins]), self.servers)
        self.with_workload = choose_spread(logins, workloads, len(self.servers))
        _do(self._make_workload, sorted(self.with_workload))
        for number in sorted(self.with_workload):
            open_workload(self.world.cluster, workload_of(number)).wait_for_ready(READY_SECONDS)

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

    def place_of(self, name: str) -> frozenset[str]:
        """Return the vault and the server of a credential."""
        number = number_of(name)
        return frozenset((self._vault_of(number), self.servers[number % len(self.servers)]))

    def has_candidate(self, name: str) -> bool:
        """Whether a rotation of a credential is in the middle of its steps."""
        number = number_of(name)
        secret = name_candidate((f"username-{number:04}", f"password-{number:04}"))
        return self.azure.vault(self._vault_of(number)).find_latest(secret) is not None

    def throttle(self, vault: str) -> None:
        """Let a vault answer every write with 429."""
        host = f"{vault}.vault.azure.net"
        self.world.lab.faults.add_fault(host=host, method="PUT", status=429, headers={"Retry-After": "1"})

    def end_server(self, name: str) -> None:
        """End the PostgreSQL of a Flexible Server; the gateway in front of it stays."""
        [folder] = (self.world.lab.state_dir / "servers").glob(f"*-{name}")
        number = folder.name.partition("-")[0]
        address = f"listen_addresses={self.world.lab.info.network}.{network.SERVERS}.{number}\0"
        for command in PROC.glob("[0-9]*/cmdline"):
            try:
                is_it = address in command.read_text()
            except OSError:
                continue
            if is_it:
                os.kill(int(command.parent.name), signal.SIGKILL)

    def count_refused_logins(self) -> int:
        """Return how many logins the servers have refused so far."""
        logs = Path(self.world.lab.state_dir, "logs").glob("server-*-fleet-server-*.log")
        return sum(log.read_text(errors="replace").count("password authentication failed") for log in logs)

    def _entry(self, number: int) -> dict[str, Any]:
        """Return a credential as people write it."""
        cluster = SERVER.cluster.model_dump(mode="json", include={"name", "resource_group"})
        server = self.servers[number % len(self.servers)]
        consumers = [consumer_of(number)] if number in self.with_workload else []
        return {
            "consumers": [consumer.model_dump(mode="json") for consumer in consumers],
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
        roles = RoleAssignments(self.azure, group)
        roles.put(role(SECRETS_OFFICER, vault, None))
        roles.put(role(SECRETS_USER, vault, Identity(name=STACK.identity)))

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

    def _make_workload(self, number: int) -> None:
        """Make a workload like the walkthrough's database: its class, for other secrets, and a pod that only waits."""
        secrets = (f"username-{number:04}", f"password-{number:04}")
        shipped = self.world.cluster.get(f"{CLASSES}/{DATABASE.delivery.source}")["spec"]
        entries = "".join(f"  - |\n    objectName: {name}\n    objectType: secret\n" for name in secrets)
        parameters = {**shipped["parameters"], "keyvaultName": self._vault_of(number), "objects": f"array:\n{entries}"}
        data = [{"key": key, "objectName": name} for key, name in zip(KEYS, secrets, strict=True)]
        name = name_credential(number)
        synced = {"secretName": name, "type": "Opaque", "data": data}
        spec = {"provider": "azure", "parameters": parameters, "secretObjects": [synced]}
        apply(self.world.cluster, [_object(CLASS_API, "SecretProviderClass", name, spec), _deployment(name)])

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


def choose_spread(total: int, wanted: int, servers: int) -> frozenset[int]:
    """Choose so many of the numbers below `total`, about as many of each server and of each beginning."""
    if not wanted:
        return frozenset()
    every = max(total // wanted, 1)
    return frozenset([number for number in range(total) if (number + number // servers) % every == 0][:wanted])


def workload_of(number: int) -> WorkloadRef:
    """Return the workload of a credential."""
    return WorkloadRef(namespace=NAMESPACE, name=name_credential(number))


def consumer_of(number: int) -> Consumer:
    """Return the consumer of a credential that has a workload."""
    name = name_credential(number)
    delivery = CsiDelivery(secret_provider_class=name, synced_secret=name)
    return Consumer(workload=workload_of(number), delivery=delivery)


def _deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    csi = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": {"secretProviderClass": name}}
    container = {
        "name": "client",
        "image": "postgres:14",
        "command": ["sleep", "infinity"],
        "env": [{"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}} for key in KEYS],
        "volumeMounts": [{"name": "credential", "mountPath": "/credential", "readOnly": True}],
    }
    spec = {
        "serviceAccountName": STACK.service_account,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "credential", "csi": csi}],
    }
    template = {"metadata": {"labels": {**labels, "azure.workload.identity/use": "true"}}, "spec": spec}
    wanted = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return _object("apps/v1", "Deployment", name, wanted)


def _object(api: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def _do(act: Callable[[Any], object], what: Iterable[Any]) -> None:
    with ThreadPoolExecutor(HANDS) as hands:
        list(hands.map(act, what))
