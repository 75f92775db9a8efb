"""Rotations of logins that are kept in other layouts than a pair, each with a role, a class and a client of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from infra.credentials import Credential, CsiDelivery, Login, Strategy
from infra.errors import KeyturnError
from infra.kubernetes.deliveries.provider_classes import path_of
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret, seal
from infra.kubernetes.pods import run_in_pod
from infra.kubernetes.workloads import open_workload
from infra.postgres.database import make_verifier
from infra.rotation.candidate import name_candidate
from infra.rotation.options import Sync
from testing import bare
from testing.reading import let_read
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like
from tests.crash.cases import CASES, FEW_KILLS, GRACE, Case
from tests.crash.clients import key_of, make_class, make_deployment
from tests.crash.scene import DEPLOYMENTS, NAMESPACE, SECONDS, Scene

FIRST = Login("orders", "first-Password-1")
_NAME = "orders"
"""What the role, the class, its Secret and the client are called."""
CLIENT = consumer_like(
    DATABASE,
    name=_NAME,
    is_database=False,
    delivery=CsiDelivery(secret_provider_class=_NAME, synced_secret=_NAME),
)
_IN_PLACE = {"name": _NAME, "strategy": Strategy.IN_PLACE, "consumers": (CLIENT,)}
_ALTERNATING = {**_IN_PLACE, "strategy": Strategy.ALTERNATING, "administrator": DEXTER.secrets}
_DSN = "postgresql://{username:uri}:{password:uri}@db/{database}"
VALUES = {
    "orders-username": FIRST.username,
    "orders-dsn": f"postgresql://{FIRST.username}:{FIRST.password}@db/postgres",
    "orders-password": FIRST.password,
    "orders-json": f'{{"port": 5432.00, "username": "{FIRST.username}", "pass": "{FIRST.password}"}}',
    "orders-url": f"postgresql://{FIRST.username}:{FIRST.password}@db:5432/orders?sslmode=require",
}
"""The value that each secret starts with."""


@dataclass(frozen=True)
class LayoutCase(Case):
    """A rotation of a login in a layout.

    Args:
        name: the layout.
        fields: the credential's fields that differ from the walkthrough's.
    """

    name: str = ""
    fields: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{super().__str__()}, {self.name}"

    @property
    def credential(self) -> Credential:
        """What is rotated."""
        return change(DEXTER, **dict(self.fields))

    @contextmanager
    def prepared(self, scene: Scene) -> Iterator[None]:
        """Make the role, the secrets, the class and the client for a block."""
        vault, names = scene.vault(self.credential), self.credential.secret_names
        make_role(scene)
        for name in names:
            encoding = self.credential.secrets.encodings.get(name)
            vault.write(name, encoding.write(VALUES[name]) if encoding else VALUES[name])
        let_read(self.credential)
        make_class(scene, _NAME, names, self.credential.secrets.encodings)
        try:
            if self.strategy is Strategy.ALTERNATING:
                bare.make_owner_role(self.credential)
            scene.put_data(self.credential)
            with _running_client(scene):
                yield
        finally:
            scene.cluster.delete(path_of(NAMESPACE, _NAME))
            drop_roles(scene)
            for name in names:
                vault.delete(name)
                vault.purge(name)

    def check_after_kill(self, scene: Scene, before: Login) -> None:
        """Check that a known login works, and that a client's values belong together."""
        scene.assert_a_known_login_works(self.credential, before, may_be_down=False)
        allowed = {before, scene.staged(self.credential) or scene.newest(self.credential)}
        for login in self._find_environments(scene):
            assert login in allowed, "a client has a login that nobody made"
            assert not self.clients_always_work or scene.logs_in(self.credential, login)

    def check_after_rotation(self, scene: Scene, before: Login) -> None:
        """Check that the new login is everywhere, alone, and that nothing is left behind."""
        credential, vault, newest = self.credential, scene.vault(self.credential), scene.newest(self.credential)
        assert newest != before
        assert scene.logs_in(credential, newest)
        assert not scene.logs_in(credential, before), "the previous login still works"
        for name in credential.secret_names:
            enabled = [version.version for version in vault.list_versions(name) if version.enabled]
            assert enabled == [vault.get_latest(name).version]
        assert vault.find_latest(name_candidate(credential.secrets.names)) is None
        values = {name: vault.read(name) for name in credential.secret_names}
        texts = values | {name: code.read(values[name]) for name, code in credential.secrets.encodings.items()}
        expected = {key_of(name): text for name, text in texts.items()}
        SyncedSecret(scene.cluster, NAMESPACE, _NAME).wait_for(seal(expected), SECONDS)
        assert self._find_environments(scene) == [newest]
        assert scene.has_data(credential)

    def _find_environments(self, scene: Scene) -> list[Login]:
        """Return the login that each ready pod of the client started with."""
        found = [(pod, self._find_environment(scene, pod)) for pod in _find_ready(scene)]
        staying = _find_ready(scene)
        assert all(login or pod not in staying for pod, login in found), "a client's environment cannot be read"
        return [login for _, login in found if login]

    def _find_environment(self, scene: Scene, pod: str) -> Login | None:
        """Ask a pod, which may be terminating, and see that what is made of its login belongs to it."""
        names, address = self.credential.secret_names, scene.database(self.credential).address
        try:
            printed = run_in_pod(scene.cluster, NAMESPACE, pod, ["printenv", *map(key_of, names)]).stdout.splitlines()
            values = dict(zip(names, printed, strict=True))
        except (KeyturnError, ValueError):
            return None
        layout = self.credential.secrets
        login = layout.parse(values | {name: code.write(values[name]) for name, code in layout.encodings.items()})
        for derived in self.credential.derived:
            assert values[derived.secret] == derived.render(login, address.host, address.port, address.database)
        return login


def _case(name: str, sync: Sync, fields: dict[str, Any], **secrets: Any) -> LayoutCase:
    strategy, fields = fields["strategy"], {**fields, "secrets": secrets}
    always = strategy is Strategy.ALTERNATING
    return LayoutCase(
        strategy, sync, clients_always_work=always, most_kills=FEW_KILLS, name=name, fields=tuple(fields.items())
    )


LAYOUT_CASES = (
    _case("a password alone", Sync.EXPRESS, _IN_PLACE, kind="password", username="orders", password="orders-password"),
    _case(
        "an encoded pair",
        Sync.WAIT,
        _ALTERNATING,
        kind="pair",
        username="orders-username",
        password="orders-password",
        encodings={"orders-username": "hex", "orders-password": "base64"},
    ),
    _case("JSON", Sync.EXPRESS, _ALTERNATING, kind="json", secret="orders-json", password_field="pass"),
    _case(
        "a pair and what is derived of it",
        Sync.WAIT,
        {**_ALTERNATING, "derived": [{"secret": "orders-dsn", "template": _DSN}]},
        kind="pair",
        username="orders-username",
        password="orders-password",
    ),
    _case("a connection string", Sync.WAIT, _ALTERNATING, kind="connection-string", secret="orders-url"),
)
MATRIX_CASES = (
    *(case for case in CASES if not case.delivery or case.strategy is Strategy.ALTERNATING),
    GRACE,
    *LAYOUT_CASES,
)
"""What the matrix has: every strategy and way of syncing, and one case for each delivery, a grace, and each layout."""


def _find_ready(scene: Scene) -> list[str]:
    """Return the names of the client's pods that are ready and stay."""
    pods = open_workload(scene.cluster, CLIENT.workload).get().pods
    return [pod.name for pod in pods if pod.ready and not pod.terminating]


def make_role(scene: Scene) -> None:
    """Make the login anew, without rights but to make tables."""
    drop_roles(scene)
    add_role(scene, FIRST)


def add_role(scene: Scene, login: Login) -> None:
    """Make a login without rights but to make tables; its name begins with `orders`."""
    with scene.database(DEXTER).connected(scene.newest(DEXTER)) as administrator:
        administrator.execute("DROP TABLE IF EXISTS kept")  # of another login
        verifier = make_verifier(administrator, login)
        administrator.execute(f"CREATE ROLE {login.username} LOGIN PASSWORD '{verifier}'")
        administrator.execute(f"GRANT CREATE ON SCHEMA public TO {login.username}")


def drop_roles(scene: Scene) -> None:
    """Drop the login, its owner role, and what they own."""
    with scene.database(DEXTER).connected(scene.newest(DEXTER)) as administrator:
        found = administrator.execute("SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'orders%'").fetchall()
        for (role,) in found:
            administrator.execute(f'DROP OWNED BY "{role}" CASCADE')
        for (role,) in found:
            administrator.execute(f'DROP ROLE "{role}"')


@contextmanager
def _running_client(scene: Scene) -> Iterator[None]:
    """Run a client that has the secrets in its environment for a block."""
    scene.cluster.request("POST", DEPLOYMENTS, {}, make_deployment(CLIENT))
    try:
        open_workload(scene.cluster, CLIENT.workload).wait_for_ready(SECONDS)
        yield
    finally:
        scene.remove(CLIENT)
