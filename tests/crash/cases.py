"""The rotations that are killed: an entry for each strategy and way of syncing, for each delivery, and for a grace."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from infra.credentials import (
    UNTIL_NEXT_ROTATION,
    Consumer,
    Credential,
    CsiDelivery,
    ExternalSecretDelivery,
    Login,
    SecretDelivery,
    Strategy,
)
from infra.rotation.execution import Verdict
from infra.rotation.options import RotationOptions, Sync
from testing import bare
from testing.walkthrough import DATABASE, DEXTER, SERVER, change, consumer_like
from tests.crash.scene import CLIENT, Scene

RECREATE = change(DEXTER, name="dexter-db")
"""The walkthrough's database under another name: the inventory keeps the shipped credential as it is."""
_CLASS, _SECRET = DATABASE.every_delivery[0].source, DATABASE.every_delivery[0].secret_name
CLIENTS: dict[str, Consumer] = {
    "": CLIENT,
    "files alone": consumer_like(CLIENT, delivery=CsiDelivery(secret_provider_class=_CLASS), needs_restart=False),
    "a Secret that others keep": consumer_like(
        CLIENT, delivery=SecretDelivery(kind="secret", secret=_SECRET, kept_by=_CLASS)
    ),
    "an ExternalSecret": consumer_like(
        CLIENT, delivery=ExternalSecretDelivery(kind="external-secret", external_secret="es-login")
    ),
    "an ExternalSecret of the server": consumer_like(
        CLIENT, delivery=ExternalSecretDelivery(kind="external-secret", external_secret="es-server-login")
    ),
    "two classes": consumer_like(
        CLIENT,
        delivery=None,
        deliveries=tuple(
            CsiDelivery(secret_provider_class=f"only-{name}", synced_secret=f"sec-{name}")
            for name in ("username", "password")
        ),
    ),
}
"""How the client gets the credential -> the client; the first one by a class of its own with a synced Secret."""
OPTIONS = RotationOptions(data_loss="I accept data loss", sync_timeout_seconds=60, ready_timeout_seconds=40)


@dataclass(frozen=True)
class Case:
    """A rotation, and what its strategy promises meanwhile.

    Args:
        strategy: its strategy.
        sync: how the consumers get the new versions.
        restarts_database: whether the database starts anew, empty, and does not answer for a while.
        clients_always_work: whether the login that a client holds works at every moment.
        delivery: how the client gets the credential; empty: by a mount and a synced Secret.
        most_kills: how many of its kills the matrix makes; 0: every one.
    """

    strategy: Strategy
    sync: Sync
    restarts_database: bool = False
    clients_always_work: bool = False
    delivery: str = ""
    most_kills: int = 0

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.strategy, self.sync, self.delivery)))

    @property
    def client(self) -> Consumer:
        """The client, where the credential has one."""
        return CLIENTS[self.delivery]

    @property
    def credential(self) -> Credential:
        """What is rotated."""
        if self.strategy is Strategy.MANAGED:
            return change(SERVER, consumers=(self.client,)) if self.delivery else SERVER
        return change(RECREATE, consumers=(DATABASE, self.client), strategy=self.strategy)

    def options(self, rotation_id: str = "") -> RotationOptions:
        """How it is rotated, and which rotation is resumed, if an id is given."""
        return OPTIONS.model_copy(update={"sync": self.sync, "rotation_id": rotation_id})

    @contextmanager
    def prepared(self, scene: Scene) -> Iterator[None]:
        """Set up for a block what the strategy needs: an owner role, data in the database, a client."""
        if self.strategy is Strategy.ALTERNATING:
            bare.make_owner_role(self.credential)
        if not self.restarts_database:
            scene.put_data(self.credential)
        with scene.client(self.client, self.credential) if self.client in self.credential.consumers else nullcontext():
            yield

    def check_after_kill(self, scene: Scene, before: Login) -> None:
        """Check what must hold after a kill, wherever that was.

        Files that are re-read may mix two logins while `recreate` publishes: it pins nothing.
        """
        scene.assert_a_known_login_works(self.credential, before, self.restarts_database)
        mixes = self.strategy is Strategy.RECREATE and not self.client.needs_restart
        if self.client in self.credential.consumers and not mixes:
            scene.assert_clients_hold_no_mix(self.credential, before, self.clients_always_work)

    def check_after_rotation(self, scene: Scene, before: Login) -> None:
        """Check that all is well after the next run."""
        scene.assert_well(self.credential, before)
        assert self.restarts_database or scene.has_data(self.credential), "data is lost"


@dataclass(frozen=True)
class GraceCase(Case):
    """A rotation whose previous login works on until the next one."""

    def __str__(self) -> str:
        return f"{super().__str__()}, with a grace"

    @property
    def credential(self) -> Credential:
        """What is rotated."""
        return change(super().credential, grace=UNTIL_NEXT_ROTATION)

    def check_after_rotation(self, scene: Scene, before: Login) -> None:
        """Check that the previous login has its grace, and that all is well once that was ended.

        A run without an id ends the grace of a rotation that was complete when it was killed, and makes the next one.
        """
        newest = scene.newest(self.credential)
        assert scene.logs_in(self.credential, newest)
        is_next = newest.username == before.username
        assert scene.logs_in(self.credential, before) is not is_next, "the previous login has no grace"
        options = self.options(scene.unfinished(self.credential)).model_copy(update={"no_grace": True})
        ended = scene.zygote.run(self.credential, options)
        assert ended.verdict == Verdict.ROTATED, ended.message
        assert scene.newest(self.credential) == newest
        super().check_after_rotation(scene, before)


FEW_KILLS = 38
"""How many kills are made of a case that differs from another one in its layout, its delivery or its grace alone."""
CASES = (
    Case(Strategy.MANAGED, Sync.WAIT),
    Case(Strategy.IN_PLACE, Sync.EXPRESS),
    Case(Strategy.ALTERNATING, Sync.EXPRESS, clients_always_work=True),
    Case(Strategy.RECREATE, Sync.EXPRESS, restarts_database=True),
    Case(Strategy.IN_PLACE, Sync.WAIT),
    Case(Strategy.ALTERNATING, Sync.WAIT, clients_always_work=True),
    Case(Strategy.RECREATE, Sync.WAIT, restarts_database=True),
    *(
        Case(
            strategy,
            sync,
            restarts_database=strategy is Strategy.RECREATE,
            clients_always_work=strategy is Strategy.ALTERNATING,
            delivery=delivery,
            most_kills=FEW_KILLS,
        )
        for delivery in CLIENTS
        if delivery and "server" not in delivery
        for strategy, sync in (
            (Strategy.ALTERNATING, Sync.WAIT),
            (Strategy.IN_PLACE, Sync.EXPRESS),
            (Strategy.RECREATE, Sync.WAIT),
        )
    ),
    Case(Strategy.MANAGED, Sync.EXPRESS, delivery="an ExternalSecret of the server", most_kills=FEW_KILLS),
)
GRACE = GraceCase(Strategy.ALTERNATING, Sync.EXPRESS, clients_always_work=True, most_kills=FEW_KILLS)


def find_case(strategy: Strategy, sync: Sync, delivery: str = "") -> Case:
    """Return the case of a strategy, a way of syncing and a delivery."""
    return next(case for case in CASES if (case.strategy, case.sync, case.delivery) == (strategy, sync, delivery))
