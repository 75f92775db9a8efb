"""The cells of the support table: a credential for each layout, delivery and strategy, and who gets it by a delivery.

The vault has the secrets of every layout, and a delivery brings them all, so one workload serves all the cells of its
delivery. Each strategy has a login of its own, which goes from one layout to the next.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

from infra.credentials import Consumer, Credential, Login, Strategy
from infra.kubernetes.deliveries.provider_classes import path_of
from infra.kubernetes.manifests import apply
from infra.kubernetes.pods import run_in_pod
from infra.kubernetes.workloads import open_workload
from testing.external_secrets import API, external_secret, install_operator, store
from testing.reading import let_read
from testing.walkthrough import DATABASE, DEXTER, SERVER, change, consumer_like
from tests.crash.clients import key_of, make_class, make_deployment
from tests.crash.layouts import add_role, drop_roles
from tests.crash.scene import DEPLOYMENTS, NAMESPACE, SECONDS, Scene

NAME, OTHER, SYNCING = "orders", "orders-too", "syncing"
LAYOUTS: dict[str, dict[str, Any]] = {
    "pair": {"username": "orders-username", "password": "orders-password"},
    "password": {"kind": "password", "username": NAME, "password": "orders-alone"},
    "json": {"kind": "json", "secret": "orders-json"},
    "json without username": {"kind": "json", "secret": "orders-json", "username": NAME},
    "connection-string": {"kind": "connection-string", "secret": "orders-url"},
}
"""Layout -> what the inventory says of it."""
TEXTS: dict[str, dict[str, str]] = {
    "pair": {"orders-username": "{0}", "orders-password": "{1}"},
    "password": {"orders-alone": "{1}"},
    "json": {"orders-json": '{{"port": 5432.00, "username": "{0}", "password": "{1}"}}'},
    "json without username": {"orders-json": '{{"password": "{1}", "port": 5432.00}}'},
    "connection-string": {"orders-url": "postgresql://{0}:{1}@db:5432/orders?sslmode=require"},
}
"""Layout -> secret -> how its value holds username and password."""
SECRETS = ("orders-username", "orders-password", "orders-alone", "orders-json", "orders-url")
_FILES = {"kind": "csi", "secret_provider_class": NAME}
DELIVERIES: dict[str, list[dict[str, str]]] = {
    "csi": [{**_FILES, "synced_secret": NAME}],
    "csi, files alone": [_FILES],
    "secret": [{"kind": "secret", "secret": NAME, "kept_by": NAME}],
    "external-secret": [{"kind": "external-secret", "external_secret": NAME}],
    "two classes": [_FILES, {**_FILES, "secret_provider_class": OTHER}],
    "none": [],
}
"""Delivery -> what the inventory says of it. Of the two classes one has the pair's username, the other its password."""
_SYNCING = consumer_like(DATABASE, name=SYNCING, is_database=False)
_ROLES = {Strategy.IN_PLACE: Login(NAME, "first-Password-1"), Strategy.ALTERNATING: Login("orders_turns", "turns-1")}


@dataclass(frozen=True)
class Cell:
    """A credential of a layout, a delivery and a strategy other than `recreate`."""

    layout: str
    delivery: str
    strategy: Strategy

    def __str__(self) -> str:
        return f"{self.delivery}-{self.layout}-{self.strategy}".replace(", ", " ")

    def credential(self, username: str) -> Credential:
        """What is rotated.

        Args:
            username: of its login, for a layout that does not have it in the vault.
        """
        secrets = LAYOUTS[self.layout] | (
            {"username": username} if LAYOUTS[self.layout].get("username") == NAME else {}
        )
        fields: dict[str, Any] = {"name": NAME, "strategy": self.strategy, "secrets": secrets}
        if self.strategy is Strategy.ALTERNATING:
            fields["administrator"] = DEXTER.secrets
        base = SERVER if self.strategy is Strategy.MANAGED else DEXTER
        return change(base, **fields, consumers=list_consumers(self.delivery))


def list_cells() -> Iterator[Cell]:
    """Yield every cell that a check takes but those of `recreate`, delivery by delivery."""
    for delivery in DELIVERIES:
        for layout, fields in LAYOUTS.items():
            keeps_username = fields.get("username") != NAME
            yield Cell(layout, delivery, Strategy.IN_PLACE)
            if keeps_username:
                yield Cell(layout, delivery, Strategy.ALTERNATING)
            yield Cell(layout, delivery, Strategy.MANAGED)


def choose_sample() -> list[Cell]:
    """Return one cell for each layout and delivery; the strategies take turns, so that each meets every other."""
    chosen = []
    for (at_layout, layout), (at_delivery, delivery) in product(enumerate(LAYOUTS), enumerate(DELIVERIES)):
        cells = [cell for cell in list_cells() if (cell.layout, cell.delivery) == (layout, delivery)]
        chosen.append(cells[(at_layout + at_delivery) % len(cells)])
    return chosen


def list_consumers(delivery: str) -> tuple[Consumer, ...]:
    """Return who gets the credential by a delivery; a kept Secret has who keeps it in sync beside its reader."""
    if not (kept := DELIVERIES[delivery]):
        return ()
    fields = consumer_like(DATABASE, name=NAME, is_database=False).model_dump()
    client = Consumer.model_validate({**fields, "delivery": None, "deliveries": kept})
    if delivery != "secret":
        return (client,)
    keeps = {**_SYNCING.model_dump(), "delivery": DELIVERIES["csi"][0]}
    return client, Consumer.model_validate(keeps)


@contextmanager
def logins_made(scene: Scene) -> Iterator[dict[Strategy, Login]]:
    """Make the login of each strategy, and every layout's secrets, for a block; yields strategy -> its login.

    Whoever rotates writes down what is current then: so the administrator gets back into its own secrets.
    """
    vault, current = scene.vault(DEXTER), {**_ROLES, Strategy.MANAGED: scene.newest(SERVER)}
    drop_roles(scene)
    for login in _ROLES.values():
        add_role(scene, login)
    for name in SECRETS:
        vault.write(name, "of no layout yet")
    for layout in ("pair", "password", "json", "connection-string"):
        let_read(change(DEXTER, strategy=Strategy.IN_PLACE, secrets=LAYOUTS[layout]))
    try:
        yield current
    finally:
        vault.write(SERVER.secrets.names[-1], current[Strategy.MANAGED].password)
        drop_roles(scene)
        for name in SECRETS:
            vault.delete(name)
            vault.purge(name)


@contextmanager
def consumers_run(scene: Scene, delivery: str) -> Iterator[None]:
    """Run who gets every secret by a delivery, for a block."""
    consumers, classes = list_consumers(delivery), _list_classes(delivery)
    for name, secrets in classes.items():
        make_class(scene, name, secrets, is_synced=delivery in ("csi", "secret"))
    if delivery == "external-secret":
        install_operator(scene.cluster)
        keys = {key_of(secret): secret for secret in SECRETS}
        apply(scene.cluster, [store(NAMESPACE, DEXTER.vault, "dexter-sa"), external_secret(NAMESPACE, NAME, keys)])
    for consumer in reversed(consumers):
        scene.cluster.request("POST", DEPLOYMENTS, {}, make_deployment(consumer))
    try:
        for consumer in consumers:
            open_workload(scene.cluster, consumer.workload).wait_for_ready(SECONDS)
        yield
    finally:
        scene.remove(*consumers)
        for name in classes:
            scene.cluster.delete(path_of(NAMESPACE, name))
        if delivery == "external-secret":
            scene.cluster.delete(f"/apis/{API}/namespaces/{NAMESPACE}/externalsecrets/{NAME}")


def read_in_pods(scene: Scene, delivery: str, secrets: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return each of these secrets with its value, wherever a ready pod of the client has it."""
    consumer = list_consumers(delivery)[0]
    found = [
        (secret, f"cat /{name}/{secret}")
        for name, mounted in _list_classes(delivery).items()
        for secret in secrets
        if secret in mounted and delivery != "secret"
    ]
    if any(way.secret_name for way in consumer.every_delivery):
        found += [(secret, f'printf %s "${key_of(secret)}"') for secret in secrets]
    script = "; echo; ".join(command for _, command in found)
    values = []
    for pod in open_workload(scene.cluster, consumer.workload).get().pods:
        if pod.ready and not pod.terminating:
            printed = run_in_pod(scene.cluster, NAMESPACE, pod.name, ["sh", "-c", script]).stdout.split("\n")
            values += list(zip((secret for secret, _ in found), printed, strict=True))
    return values


def _list_classes(delivery: str) -> dict[str, tuple[str, ...]]:
    """Return the classes of a delivery, and which secrets each brings."""
    if delivery == "two classes":
        return {NAME: (SECRETS[0], *SECRETS[2:]), OTHER: SECRETS[1:]}
    return {} if delivery in ("external-secret", "none") else {NAME: SECRETS}
