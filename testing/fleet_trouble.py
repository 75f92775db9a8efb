"""A wave that trouble hits in its middle: a vault throttles, a server ends, and a worker is killed with what it runs.

The rotations are runs of the deployment `rotate` on two workers. The worker that is killed has one run at a time, and
dies once that run's rotation has written its candidate; another vault and another server than its credential's are hit
at that moment. Heartbeats and the alarm of automations.yaml find the run dead. Then the vault answers again, the server
stays away, and the fleet runs once more.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import yaml
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from infra.fleet import schedule
from infra.fleet.schedule import Attempt
from infra.fleet.wave import Limits
from infra.rotation.options import Sync
from tasks.fleet import runs
from testing.fleets import Fleet, number_of
from testing.labs import ROOT
from testing.waiting import eventually
from testing.workers import HEARTBEAT_SECONDS, Worker, deploy, running_worker

VAULT_AFTER, SERVER_AFTER = 1, 2
"""Which vault and server are hit, counted from those of the credential whose worker is killed."""
ZOMBIE_SECONDS = HEARTBEAT_SECONDS * 3
KILL_SECONDS, LOOK_SECONDS, MINUTES = 1200, 0.2, 30
END_SECONDS = 600
CRASHED, RUNS, NEVER = "crashed", "runs", "never started"
ALARM = "keyturn: zombie run"


@dataclass(frozen=True)
class Told:
    """How a troubled wave went.

    Args:
        first: credential -> how its rotation ended in the wave.
        second: credential -> how the last one ended once the fleet had run again.
        throttled: the vault's credentials.
        down: the server's credentials.
        killed: the credential whose run was killed with its worker.
        crashed_after: from the kill until that run was marked as crashed.
        changed: the credentials that have a new password after both.
        endings: how the runs of the fleet ended, in words.
    """

    first: Mapping[str, str]
    second: Mapping[str, str]
    throttled: frozenset[str]
    down: frozenset[str]
    killed: str
    crashed_after: timedelta
    changed: frozenset[str]
    endings: tuple[str, str]

    @property
    def well(self) -> frozenset[str]:
        """The credentials that nothing hit."""
        return frozenset(self.first) - self.throttled - self.down - {self.killed}


@dataclass(frozen=True)
class _Strike:
    """What was hit, and when."""

    killed: str
    run: UUID
    at: datetime
    vault: str
    server: str


def run_troubled_wave(fleet: Fleet, credentials: int, folder: Path) -> Told:
    """Let a wave begin, let trouble hit it, and let the fleet run again.

    Args:
        fleet: where the credentials are; it is built.
        credentials: how many are rotated.
        folder: for the workers' logs.
    """
    names = fleet.list_in_inventory(credentials)
    before = fleet.read_passwords(credentials)
    deploy("rotate")
    make_alarm()
    with ExitStack() as stack:
        victim = stack.enter_context(running_worker(folder, "victim", 1))
        stack.enter_context(running_worker(folder, "survivor", 2))
        hand = stack.enter_context(ThreadPoolExecutor(1))
        trouble = hand.submit(copy_context().run, _strike, fleet, victim)
        ending = _run_fleet(requested=names)
        strike, first = trouble.result(), read_verdicts(names)
        fleet.world.lab.faults.clear_faults()
        stack.enter_context(patch.object(schedule, "STALE", timedelta()))
        stack.enter_context(patch.object(schedule, "FIRST_PAUSE", timedelta()))
        endings = (ending, _run_fleet())
        eventually(lambda: RUNS not in read_verdicts(names).values(), "the end of all rotations", END_SECONDS, 1)
        second, after = read_verdicts(names), fleet.read_passwords(credentials)
    changed = frozenset(name for name in names if after[name] != before[name])
    throttled, down = ({name for name in names if hit in fleet.place_of(name)} for hit in (strike.vault, strike.server))
    crashed_after = _find_crash(strike.run) - strike.at
    return Told(first, second, frozenset(throttled), frozenset(down), strike.killed, crashed_after, changed, endings)


def make_alarm() -> None:
    """Make the alarm of automations.yaml that finds dead runs, with a time that fits these heartbeats."""
    listed = yaml.safe_load((ROOT / "automations.yaml").read_text())["automations"]
    [alarm] = [automation for automation in listed if automation["name"] == ALARM]
    alarm["trigger"]["within"] = ZOMBIE_SECONDS
    Automation.model_validate(alarm).create()


def _run_fleet(**parameters: Any) -> str:
    """Run the fleet, and return how that ended. Rotations that it started go on without it if it ends early."""
    from flows.fleet import fleet

    limits = Limits(stop_after=1000, per_server=5)
    given = {"dry_run": False, "sync": Sync.EXPRESS, "minutes": MINUTES, "limits": limits, **parameters}
    state: State[Any] = fleet(**given, return_state=True)  # type: ignore[call-overload]
    return f"{state.name}: {state.message}"


def _strike(fleet: Fleet, victim: Worker) -> _Strike:
    """Wait until the victim is in the middle of a rotation; then let it all come."""

    def look() -> tuple[str, UUID] | None:
        for run in victim.runs():
            with get_client(sync_client=True) as client:
                name = str(client.read_flow_run(run).parameters["credential"])
            if fleet.has_candidate(name):
                return name, run
        return None

    name, run = eventually(look, "a rotation of the victim", KILL_SECONDS, LOOK_SECONDS)
    victim.kill()
    struck_at, number = datetime.now(UTC), number_of(name)
    vault = fleet.vaults[(number + VAULT_AFTER) % len(fleet.vaults)]
    server = fleet.servers[(number + SERVER_AFTER) % len(fleet.servers)]
    fleet.throttle(vault)
    fleet.end_server(server)
    return _Strike(name, run, struck_at, vault, server)


def read_verdicts(names: Sequence[str]) -> dict[str, str]:
    """Return credential -> how the last rotation that the fleet started ended."""
    attempts = runs.recall_attempts.fn(datetime.now(UTC))
    return {name: _describe(attempts[name][-1]) if attempts.get(name) else NEVER for name in names}


def _describe(attempt: Attempt) -> str:
    return (attempt.verdict or CRASHED) if attempt.ended_at else RUNS


def _find_crash(run: UUID) -> datetime:
    """Return when a run was marked as crashed."""
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
    assert state is not None
    assert state.is_crashed(), state
    return state.timestamp
