"""A wave that trouble hits, before it begins or in its middle: what is hit ends in a verdict, and all others rotate."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from reports import rows, verdict

from flows.fleet import RotateIn, fleet
from infra.fleet.wave import Limits
from infra.rotation.options import Sync
from testing.fleet_trouble import CRASHED, NEVER, RUNS, run_troubled_wave
from testing.fleets import Fleet
from testing.postgres_process import PASSWORD, USER, running_server
from testing.prefect_server import prefect_server
from testing.rotating import running_stack

CREDENTIALS, VAULTS, SERVERS = 12, 4, 3
THROTTLED, DOWN = 1, 2
"""Which vault, and which server."""
CRASH_BOUND = timedelta(minutes=5)
"""A heartbeat, the alarm's time, and what a busy machine takes."""


def states(state: State[Any]) -> dict[str, str]:
    return {row["credential"]: row["last"] for row in rows("fleet", state)}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("prefect_api")
def test_a_throttled_vault_and_a_server_that_is_down_keep_no_other_credential_from_rotating() -> None:
    with running_stack(120) as world:
        made = Fleet(world, VAULTS, SERVERS)
        made.build(CREDENTIALS, CREDENTIALS)
        names = made.list_in_inventory(CREDENTIALS)
        before = made.read_passwords(CREDENTIALS)
        made.throttle(made.vaults[THROTTLED])
        made.end_server(made.servers[DOWN])
        state: State[Any] = fleet(  # type: ignore[call-overload]
            dry_run=False,
            requested=names,
            rotate_in=RotateIn.THIS_PROCESS,
            sync=Sync.EXPRESS,
            limits=Limits(stop_after=1000),
            return_state=True,
        )
        after = made.read_passwords(CREDENTIALS)
    assert (state.name, verdict(state)) == ("Failed", "needs operator")
    hit = {name for number, name in enumerate(names) if number % VAULTS == THROTTLED or number % SERVERS == DOWN}
    found = states(state)
    assert {name: found[name] for name in names if name not in hit} == dict.fromkeys(set(names) - hit, "rotated")
    assert {found[name] for name in hit} == {"refused"}, "whoever cannot begin changes nothing"
    assert {name for name in names if after[name] != before[name]} == set(names) - hit


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_worker_killed_in_mid_wave_is_found_dead_and_the_next_run_of_the_fleet_resumes_what_it_left(
    tmp_path: Path,
) -> None:
    with running_stack(120) as world, running_server() as postgres:
        url = f"postgresql+asyncpg://{USER}:{PASSWORD}@127.0.0.1:{postgres.port}/postgres"
        with prefect_server(url):
            made = Fleet(world, VAULTS, VAULTS)
            made.build(2 * VAULTS, 2 * VAULTS)
            told = run_troubled_wave(made, 2 * VAULTS, tmp_path)
    lost, hit = {CRASHED, RUNS, NEVER}, told.throttled | told.down
    assert {name: told.first[name] for name in told.well} == dict.fromkeys(told.well, "rotated"), "it keeps nobody else"
    assert told.first[told.killed] == CRASHED
    assert told.crashed_after < CRASH_BOUND
    assert not {told.first[name] for name in hit} & lost, "each has a verdict"
    assert {told.first[name] for name in hit} != {"rotated"}, "it came in the middle of the wave"
    able = set(told.first) - told.down
    assert {name: told.second[name] for name in able} == dict.fromkeys(able, "rotated"), "the killed one is finished"
    assert able <= told.changed
    assert not {told.second[name] for name in told.down} & lost
