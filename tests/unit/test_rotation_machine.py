"""Anything that may happen to a rotation, in any order: runs, kills, faults, polls, restarts, people.

A state machine over the pure core and a simulated world. `KEYTURN_EXAMPLES` says how many sequences are tried.
"""

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rotation_facts import OPTIONS
from rotation_world import CLIENTS, World
from test_rotation_properties import FAULTS, GOOD_ENDS, check_invariants, check_rotated, run

from infra.credentials import Strategy
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync

EXAMPLES = int(os.environ.get("KEYTURN_EXAMPLES", "150"))
STEPS = 10


class RotationMachine(RuleBasedStateMachine):
    """One credential, and everybody who does something to it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.runs = 0
        self.by_hand: dict[str, str] = {}

    @initialize(
        strategy=st.sampled_from(list(Strategy)),
        clients=st.sampled_from(list(CLIENTS)),
        refreshes_at_mount=st.booleans(),
        seconds_per_call=st.sampled_from([0.01, 0.4, 3.0]),
    )
    def begin(self, **options: Any) -> None:
        self.world = World.healthy(**options)

    @rule(
        sync=st.sampled_from(list(Sync)),
        calls=st.one_of(st.none(), st.integers(1, 70)),
        keep=st.integers(0, 2),
        same_id=st.booleans(),
    )
    def rotate(self, sync: Sync, calls: int | None, keep: int, same_id: bool) -> None:
        """A run, killed at a call or not, with an id of its own or that of the run before."""
        self.accept_versions_by_hand()
        self.runs += not (same_id and self.runs)
        options = OPTIONS.model_copy(update={"sync": sync, "keep_versions": keep})
        if same_id:
            options = options.model_copy(update={"rotation_id": f"run{self.runs}"})
        ending = run(self.world, options, f"run{self.runs}", calls)
        if ending is not None and ending.error is not None:
            assert ending.error.what
            assert ending.verdict not in (Verdict.ROTATED, Verdict.PLANNED)

    def accept_versions_by_hand(self) -> None:
        """Treat what a person wrote as any other version once the database accepts it and nothing is unfinished."""
        if not self.world.live_candidate and self.world.newest in self.world.open_logins:
            self.by_hand.clear()

    @rule(fault=st.sampled_from(FAULTS))
    def break_something(self, fault: str) -> None:
        setattr(self.world, fault, True)

    @rule()
    def repair_everything(self) -> None:
        for fault in FAULTS:
            setattr(self.world, fault, False)

    @rule()
    def the_driver_polls(self) -> None:
        self.world.poll()

    @precondition(lambda self: self.world.replicas and not self.world.is_external)
    @rule()
    def the_database_restarts(self) -> None:
        self.world.run_pod()

    @precondition(lambda self: self.world.client)
    @rule()
    def a_client_restarts(self) -> None:
        self.world.run_client()

    @rule(name=st.sampled_from(["username", "password"]))
    def a_person_writes_a_version(self, name: str) -> None:
        self.world.write(name, "by hand")
        self.world.is_edited_by_hand = True
        self.by_hand[name] = self.world.newest_versions[name]

    @invariant()
    def the_worlds_invariants_hold(self) -> None:
        if self.world.secrets["username"]:
            check_invariants(self.world)

    @invariant()
    def a_version_by_hand_stays_the_newest_and_enabled(self) -> None:
        for name, version in self.by_hand.items():
            assert self.world.newest_versions[name] == version
            assert self.world.facts(name).newest.enabled

    def teardown(self) -> None:
        """Once everything is repaired, runs end well, unless a person's versions are in the way."""
        self.accept_versions_by_hand()
        if self.by_hand or not self.world.secrets["username"]:
            return
        self.repair_everything()
        if self.world.replicas and not self.world.is_external and self.world.database is None:
            self.world.run_pod()
        verdicts = []
        for number in range(3):
            ending = run(self.world, OPTIONS, f"last{number}")
            assert ending is not None
            verdicts.append(ending.verdict)
        assert set(verdicts) <= GOOD_ENDS, verdicts
        assert verdicts[-1] is Verdict.ROTATED
        check_rotated(self.world)


RotationMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    suppress_health_check=list(HealthCheck),
)
TestRotationMachine = RotationMachine.TestCase
