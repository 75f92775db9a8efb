"""The rotations that are killed: one entry for each strategy and each way of syncing."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from infra.credentials import Credential, Login, Strategy
from infra.rotation.options import RotationOptions, Sync
from testing import bare
from testing.walkthrough import DATABASE, DEXTER, SERVER, change
from tests.crash.scene import CLIENT, Scene

RECREATE = change(DEXTER, name="dexter-db")
"""The walkthrough's database under another name: the inventory keeps the shipped credential as it is."""
WITH_CLIENT = change(RECREATE, consumers=(DATABASE, CLIENT))
OPTIONS = RotationOptions(data_loss="I accept data loss", sync_timeout_seconds=60, ready_timeout_seconds=40)


@dataclass(frozen=True)
class Case:
    """A rotation, and what its strategy promises meanwhile.

    Args:
        strategy: its strategy.
        sync: how the consumers get the new versions.
        restarts_database: whether the database starts anew, empty, and does not answer for a while.
        clients_always_work: whether the login that a client holds works at every moment.
    """

    strategy: Strategy
    sync: Sync
    restarts_database: bool = False
    clients_always_work: bool = False

    def __str__(self) -> str:
        return f"{self.strategy}, {self.sync}"

    @property
    def credential(self) -> Credential:
        """What is rotated."""
        return SERVER if self.strategy is Strategy.MANAGED else change(WITH_CLIENT, strategy=self.strategy)

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
        with scene.client() if CLIENT in self.credential.consumers else nullcontext():
            yield

    def check_after_kill(self, scene: Scene, before: Login) -> None:
        """Check what must hold after a kill, wherever that was."""
        scene.assert_a_known_login_works(self.credential, before, self.restarts_database)
        if CLIENT in self.credential.consumers:
            scene.assert_clients_hold_no_mix(self.credential, before, self.clients_always_work)

    def check_after_rotation(self, scene: Scene, before: Login) -> None:
        """Check that all is well after the next run."""
        scene.assert_well(self.credential, before)
        assert self.restarts_database or scene.has_data(self.credential), "data is lost"


CASES = (
    Case(Strategy.MANAGED, Sync.WAIT),
    Case(Strategy.IN_PLACE, Sync.EXPRESS),
    Case(Strategy.ALTERNATING, Sync.EXPRESS, clients_always_work=True),
    Case(Strategy.RECREATE, Sync.EXPRESS, restarts_database=True),
    Case(Strategy.IN_PLACE, Sync.WAIT),
    Case(Strategy.ALTERNATING, Sync.WAIT, clients_always_work=True),
    Case(Strategy.RECREATE, Sync.WAIT, restarts_database=True),
)


def find_case(strategy: Strategy, sync: Sync) -> Case:
    """Return the case of a strategy and a way of syncing."""
    return next(case for case in CASES if (case.strategy, case.sync) == (strategy, sync))
