"""Flows from the shell, as people start them: help, a dry run, a refusal, an error, and Prefect's own server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rotating import World

from tests.conftest import ROOT

MODULES = sorted(
    path.stem
    for path in (ROOT / "flows").glob("*.py")
    if "run_from_shell(" in path.read_text() and path.stem != "shell"
)


def start(module: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", f"flows.{module}", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, cwd=ROOT, env={**os.environ, **env}, stdout=pipe, stderr=pipe, text=True)


def run(module: str, *arguments: str, **env: str) -> tuple[int, str, str]:
    """Return exit code, what was printed, and what was logged."""
    process = start(module, *arguments, **env)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_every_flow_has_a_command_line() -> None:
    assert {"rotate", "provision", "deploy", "tear_down", "verify_login", "verify_access", "story"} <= set(MODULES)


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The helps of all modules."""
    folder = tmp_path_factory.mktemp("helps")
    argv = [sys.executable, str(ROOT / "tests/e2e/printed_helps.py"), str(folder)]
    modules = [f"flows.{module}" for module in MODULES]
    subprocess.run([*argv, *modules], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=120)
    return folder


@pytest.mark.parametrize("module", MODULES)
def test_the_help_shows_every_parameter_and_no_trouble(helps: Path, module: str) -> None:
    code, out, err = ((helps / f"flows.{module}.{name}").read_text() for name in ("code", "out", "err"))
    assert (code, err) == ("0", "")
    assert out.startswith(f"usage: python -m flows.{module} ")
    assert "(default: " in out


def test_a_dry_run_prints_the_plan_and_its_verdict(world: World) -> None:
    before = world.snapshot()
    code, out, err = run("rotate", "--options.data-loss", "I accept data loss")
    assert code == 0, err
    assert "scale dexter/postgres-pod-kv" in out
    assert out.splitlines()[-1].startswith("Planned: Rotation ")
    assert world.snapshot() == before


def test_a_refusal_says_what_to_do_and_ends_with_one(world: World) -> None:
    before = world.snapshot()
    code, out, err = run("rotate", "--no-options.dry-run")
    assert code == 1
    last = out.splitlines()[-1]
    assert last.startswith("Refused: ")
    assert "To do: " in last
    assert "I accept data loss" in last
    assert "Traceback" not in out + err
    assert world.snapshot() == before


@pytest.mark.usefixtures("world")
def test_an_error_is_told_in_its_own_words_without_a_traceback() -> None:
    code, out, err = run("verify_login", "--target.vault", "nosuchvault")
    assert code == 1
    last = out.splitlines()[-1]
    assert last.startswith("Failed: Cannot read the secret: nosuchvault/username. ")
    assert "HostNotFound" in last
    assert "Traceback" not in out + err
    assert "Flow run encountered" not in out


@pytest.mark.slow
@pytest.mark.usefixtures("world")
def test_without_a_server_prefect_starts_one_that_is_quiet(tmp_path: Path) -> None:
    code, out, err = run("rotate", PREFECT_API_URL="", PREFECT_HOME=str(tmp_path))
    assert code == 0, err
    assert "Starting temporary server" in err
    assert out.splitlines()[-1].startswith("Planned: ")
    for noise in ("Traceback", "database is locked", "elemetry"):
        assert noise not in out + err
