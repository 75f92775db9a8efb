"""The lab's command line, by its own processes: what people type, and what is left when something dies."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_command import WAIT_SECONDS, call, lab_command, processes_of, wait_until_gone

from lab.control.lifecycle import stop
from lab.control.state import StateFolder
from testing.labs import ROOT, RunningLab, make_state_folder
from testing.waiting import eventually

UP = ("up", "--no-prefect")
"""Most tests start labs without a Prefect server, which takes seconds."""


@pytest.fixture
def state() -> Iterator[Path]:
    folder = make_state_folder() / "lab"
    yield folder
    stop(StateFolder(folder))
    folder.parent.rmdir()


def test_up_says_where_everything_is_and_how_to_go_on(state: Path) -> None:
    printed = call(*UP, "--state", str(state))
    again = call(*UP, "--state", str(state))

    assert "The lab is up after" in printed
    assert again.startswith("The lab is already up, since ")
    for text in (printed, again):
        assert str(state) in text
        assert f"python -m lab env --state {state}" in text
        assert f"python -m lab down --state {state}" in text


def test_down_leaves_no_process_and_no_file(state: Path) -> None:
    call(*UP, "--state", str(state))
    assert processes_of(state)

    printed = call("down", "--state", str(state))

    assert printed == "The lab is down, and its files are removed.\n"
    assert not state.exists()
    assert processes_of(state) == []


def test_down_without_a_lab_has_nothing_to_do(state: Path) -> None:
    assert call("down", "--state", str(state)) == f"No lab at {state}; nothing to do.\n"


def test_labs_run_side_by_side_on_networks_of_their_own(state: Path) -> None:
    other = state.with_name("other")
    call(*UP, "--state", str(state))
    call(*UP, "--state", str(other), "--driver", "republish")
    try:
        first, second = (json.loads(call("status", "--json", "--state", str(folder))) for folder in (state, other))
        assert first["network"] != second["network"]
        assert (first["driver"], second["driver"]) == ("reconciler", "republish")
    finally:
        call("down", "--state", str(other))


def test_a_network_that_is_taken_is_refused_by_name(lab: RunningLab, state: Path) -> None:
    network = lab.info.network

    printed = call(*UP, "--state", str(state), "--network", network, code=1)

    assert f"the network of the lab is taken: {network}" in printed
    assert not state.exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(state: Path) -> None:
    state.mkdir()
    (state / "thesis.txt").write_text("dear")

    printed = call(*UP, "--state", str(state), code=1)

    assert "it holds other files" in printed
    assert (state / "thesis.txt").read_text() == "dear"
    (state / "thesis.txt").unlink()
    state.rmdir()


def test_status_without_a_lab_has_exit_code_three(state: Path) -> None:
    assert call("status", "--state", str(state), code=3) == f"down: no lab at {state}\n"


def test_env_prints_what_a_shell_evaluates(lab: RunningLab) -> None:
    state = lab.state_dir
    command = f'eval "$({" ".join(lab_command("env", "--state", str(state)))})" && env'

    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)

    variables = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert variables["HTTPS_PROXY"] == variables["http_proxy"] != ""
    assert Path(variables["REQUESTS_CA_BUNDLE"]).is_file()
    assert variables["KUBECONFIG"] == str(state / "kubeconfig")
    assert len(variables["AZURE_CLIENT_SECRET"]) >= 32


def test_nobody_else_can_read_the_secrets_of_a_lab(lab: RunningLab) -> None:
    state = lab.state_dir
    secret = json.loads((state / "lab.json").read_text())["environment"]["AZURE_CLIENT_SECRET"]

    readable = [file for file in state.rglob("*") if file.is_file() and file.stat().st_mode & 0o044]

    assert all(secret.encode() not in file.read_bytes() for file in readable)


def test_run_passes_output_exit_code_and_standard_input(lab: RunningLab) -> None:
    state = lab.state_dir
    argv = lab_command("run", "--state", str(state), "--", "/bin/sh", "-c", "cat; echo err >&2; exit 7")

    done = subprocess.run(argv, input="hello", capture_output=True, text=True, cwd=ROOT, timeout=30)

    assert (done.stdout, done.stderr, done.returncode) == ("hello", "err\n", 7)


def test_run_and_env_keep_what_the_caller_reaches_directly(lab: RunningLab) -> None:
    at = ("--state", str(lab.state_dir))

    inside = call(
        "run", *at, "--", "/bin/sh", "-c", "echo $NO_PROXY $no_proxy", NO_PROXY="", no_proxy="registry.example"
    )
    exported = call("env", *at, NO_PROXY="registry.example", no_proxy="")

    assert inside.split() == 2 * [f"{lab.info.environment['NO_PROXY']},registry.example"]
    assert exported.count("registry.example") == 2


def test_run_passes_signals(lab: RunningLab) -> None:
    state = lab.state_dir
    script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do read line || exit 9; done"
    argv = lab_command("run", "--state", str(state), "--", "/bin/sh", "-c", script)

    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        # a shell whose `read` the signal does not interrupt runs the trap after the next line; another one is gone
        assert process.communicate("\n", timeout=10) == ("got it\n", None)
        assert process.returncode == 3


def test_run_of_an_unknown_command_says_so(lab: RunningLab) -> None:
    state = lab.state_dir

    assert "command not found: kubeclt" in call("run", "--state", str(state), "--", "kubeclt", code=1)


def test_run_without_a_lab_says_how_to_start_one(state: Path) -> None:
    printed = call("run", "--state", str(state), "--", "true", code=1)

    assert "no lab runs here" in printed
    assert "python -m lab up" in printed


def test_hosts_outside_the_lab_are_refused(lab: RunningLab) -> None:
    state = lab.state_dir

    printed = call("run", "--state", str(state), "--", "curl", "-sS", "https://example.com", code=56)

    assert "403" in printed


def test_faults_are_added_listed_and_cleared_from_the_shell(lab: RunningLab) -> None:
    state = lab.state_dir
    at = ("--state", str(state))
    curl = ("run", *at, "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}")
    url = "https://management.azure.com/subscriptions"  # the lab's own parts ask nothing there

    added = call("faults", "add", *at, "--host", "management.*", "--status", "503", "--times", "1")
    call("faults", "on", *at, "sync-paused")
    listed = call("faults", "list", *at)
    answers = [call(*curl, url), call(*curl, url)]

    number = added.split()[1]
    assert added == f"Fault {number} is on: * management.** responds 503, 1 times\n"
    assert "sync-paused" in listed
    assert answers[0] == "503"
    assert answers[1] != "503"
    assert "sync-paused" in call("status", *at)
    assert call("faults", "clear", *at) == "No faults.\n"
    assert call("faults", "list", *at) == "No faults.\n"


def test_a_daemon_that_was_killed_is_recognised_and_its_folder_used_again(state: Path) -> None:
    call(*UP, "--state", str(state))
    os.kill(json.loads((state / "lab.json").read_text())["pid"], signal.SIGKILL)
    wait_until_gone(state)

    assert "has died" in call("status", "--state", str(state), code=3)
    assert "its daemon has died" in call("env", "--state", str(state), code=1)
    printed = call(*UP, "--state", str(state))

    assert printed.startswith("Removed the files of a lab that had died.")
    assert "up since" in call("status", "--state", str(state))


def test_a_starter_that_is_killed_leaves_nothing_running(state: Path) -> None:
    starter = subprocess.Popen(lab_command(*UP, "--state", str(state)), stdout=subprocess.PIPE, cwd=ROOT)
    eventually(StateFolder(state).is_alive, "the lab", WAIT_SECONDS)
    starter.kill()
    starter.wait()
    assert starter.stdout is not None
    starter.stdout.close()

    wait_until_gone(state)

    assert not state.exists()


def test_the_port_range_holds_every_listener_on_localhost(state: Path) -> None:
    call(*UP, "--state", str(state), "--port-range", "24100-24180")

    info = json.loads((state / "lab.json").read_text())

    for url in (info["control_url"], info["environment"]["HTTPS_PROXY"]):
        assert 24100 <= int(url.rsplit(":", 1)[1]) <= 24180


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--port-range", "9-10"), "is not FIRST-LAST within 1024-65535"),
        (("--poll-interval", "soon"), "is not a duration"),
        (("--driver", "other"), "invalid choice"),
        (("--listen", "myhost"), "is not an IPv4 address"),
        (("--trust-issuer", "http://issuer.example"), "begins with https://"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(state: Path, arguments: tuple[str, ...], text: str) -> None:
    assert text in call(*UP, "--state", str(state), *arguments, code=2)
    assert not state.exists()


def test_a_network_that_is_none_is_refused(state: Path) -> None:
    printed = call(*UP, "--state", str(state), "--network", "10.0", code=1)

    assert "not a network that a lab can use: 10.0" in printed
    assert not state.exists()
