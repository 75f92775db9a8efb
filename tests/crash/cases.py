"""The rotations that are killed: one entry a strategy and a way of syncing."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from infra.targets import RotationOptions, Strategy, Sync, Target, Through
from testing import bare
from tests.crash.scene import CLIENT, DATABASE, Pair, Scene

WITH_CLIENT = Target(consumers=(DATABASE, CLIENT))
SERVER = Target(
    through=Through.SERVER,
    strategy=Strategy.MANAGED,
    username_secret="server-username",
    password_secret="server-password",
    consumers=(),
)
OPTIONS = RotationOptions(
    dry_run=False, data_loss="I accept data loss", sync_timeout_seconds=60, ready_timeout_seconds=40
)


@dataclass(frozen=True)
class Case:
    """A rotation, and what its strategy promises meanwhile.

    Args:
        strategy: its strategy.
        sync: how the consumers get the new versions.
        restarts_database: whether the database begins anew, empty, and does not answer for a while.
        keeps_clients: whether what a client holds works at every moment.
    """

    strategy: Strategy
    sync: Sync
    restarts_database: bool = False
    keeps_clients: bool = False

    def __str__(self) -> str:
        return f"{self.strategy}, {self.sync}"

    @property
    def target(self) -> Target:
        """What is rotated."""
        if self.strategy is Strategy.MANAGED:
            return SERVER
        return WITH_CLIENT.model_copy(update={"strategy": self.strategy})

    def options(self, rotation_id: str) -> RotationOptions:
        """How it is rotated."""
        return OPTIONS.model_copy(update={"sync": self.sync, "rotation_id": rotation_id})

    @contextmanager
    def prepared(self, scene: Scene) -> Iterator[None]:
        """Have what the strategy needs for a block: a client of the database, data in it, an owner of two logins."""
        if self.strategy is Strategy.ALTERNATING:
            bare.prepare_for_two_logins(self.target)
        if not self.restarts_database:
            scene.put_data(self.target)
        with scene.client() if CLIENT in self.target.consumers else nullcontext():
            yield

    def check_between(self, scene: Scene, before: Pair) -> None:
        """See what must hold when a run was killed, wherever that was."""
        scene.assert_somebody_knows_the_login(self.target, before, self.restarts_database)
        if CLIENT in self.target.consumers:
            scene.assert_clients_hold_no_mix(self.target, before, self.keeps_clients)

    def check_after(self, scene: Scene, before: Pair) -> None:
        """See that all is well when the next run has ended."""
        scene.assert_well(self.target, before)
        assert self.restarts_database or scene.has_data(self.target), "data is lost"


CASES = (
    Case(Strategy.MANAGED, Sync.WAIT),
    Case(Strategy.IN_PLACE, Sync.EXPRESS),
    Case(Strategy.ALTERNATING, Sync.EXPRESS, keeps_clients=True),
    Case(Strategy.RECREATE, Sync.EXPRESS, restarts_database=True),
    Case(Strategy.IN_PLACE, Sync.WAIT),
    Case(Strategy.ALTERNATING, Sync.WAIT, keeps_clients=True),
    Case(Strategy.RECREATE, Sync.WAIT, restarts_database=True),
)
