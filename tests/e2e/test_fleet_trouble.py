"""A wave in which a vault throttles and a server is down: these end in a verdict, and all others rotate."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from reports import rows, verdict

from flows.fleet import RotateIn, fleet
from infra.fleet.wave import Limits
from infra.rotation.options import Sync
from lab.control import network
from testing.fleets import Fleet
from testing.rotating import World, running_stack

CREDENTIALS, VAULTS, SERVERS = 12, 4, 3
THROTTLED, DOWN = 1, 2
"""Which vault, and which server."""


def end_server(world: World, name: str) -> None:
    """End the PostgreSQL of a Flexible Server; the gateway in front of it stays."""
    [folder] = (world.lab.state_dir / "servers").glob(f"*-{name}")
    number = folder.name.partition("-")[0]
    address = f"listen_addresses={world.lab.info.network}.{network.SERVERS}.{number}\0"
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_it = address in command.read_text()
        except OSError:
            continue
        if is_it:
            os.kill(int(command.parent.name), signal.SIGKILL)


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
        world.lab.faults.add_fault(
            host=f"{made.vaults[THROTTLED]}.vault.azure.net", method="PUT", status=429, headers={"Retry-After": "1"}
        )
        end_server(world, made.servers[DOWN])
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
