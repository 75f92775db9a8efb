"""The Prefect server that starts and ends with a lab."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from lab_command import call, processes_of, wait_for_process, wait_until_gone

from lab.control.lifecycle import StartOptions, prepare, spawn, stop
from lab.control.prefect_server import reserve_port
from lab.control.state import StateFolder
from lab.errors import ServiceFailed
from testing.labs import make_state_folder


@pytest.fixture
def state() -> Iterator[Path]:
    """The folder of a lab that is up, with a Prefect server."""
    folder = make_state_folder() / "lab"
    call("up", "--state", str(folder), PREFECT_HOME="")
    yield folder
    stop(StateFolder(folder))
    folder.parent.rmdir()


def test_commands_in_the_lab_find_its_server_and_down_ends_it(state: Path) -> None:
    at = ("--state", str(state))
    url = json.loads(call("status", *at, "--json"))["prefect"]
    fetch = (
        "run",
        *at,
        "--",
        "sh",
        "-c",
        'curl -sS "$PREFECT_API_URL/health"; curl -sS "${PREFECT_API_URL%/api}/ui-settings"',
    )

    health, settings = call(*fetch).split("{", 1)

    assert health == "true"
    assert json.loads("{" + settings)["api_url"] == f"{url}/api"
    assert f"prefect   {url}\n" in call("status", *at)
    assert f"export PREFECT_API_URL={url}/api\n" in call("env", *at)
    assert call("logs", *at, "prefect")

    call("down", *at)
    assert processes_of(state) == []
    assert not state.exists()


def test_a_killed_daemon_leaves_no_server_behind() -> None:
    folder = StateFolder(make_state_folder() / "lab")
    prepare(folder)
    starting = spawn(StartOptions(state=folder.path, prefect_home=folder.path / "prefect"))
    try:
        wait_for_process("-m prefect server start", folder.path)
    finally:
        starting.process.kill()
        starting.process.wait()
        starting.close()

    wait_until_gone(folder.path)
    assert processes_of(folder.path) == []
    folder.remove()
    folder.path.parent.rmdir()


def test_two_labs_never_choose_the_same_port() -> None:
    first, held = reserve_port((0, 0))
    with closing(held):
        second, other = reserve_port((0, 0))
        other.close()

    assert first != second


def test_a_port_in_use_is_left_alone_and_the_range_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ServiceFailed, match=f"no port is free for the Prefect server: {port}-{port}"):
            reserve_port((port, port))
