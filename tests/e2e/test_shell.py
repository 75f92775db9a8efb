"""Flows from the shell, as people start them: help, a dry run, a refusal, an error, and Prefect's own server."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from testing.inventory import listed
from testing.labs import ROOT
from testing.rotating import World
from testing.walkthrough import DEXTER

HELP_LINES = 40
Runner = Callable[..., tuple[int, str, str]]
MODULES = sorted(
    path.stem for path in (ROOT / "flows").glob("*.py") if f"\n    run_from_shell({path.stem})\n" in path.read_text()
)


def run(module: str, *arguments: str, **env: str) -> tuple[int, str, str]:
    """Run the shell's command and return exit code, what was printed, and what was logged."""
    argv = [sys.executable, "-m", f"flows.{module}", *arguments]
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Runner:
    """Do what the shell's command does in this process, which has imported everything already."""

    def run_here(module: str, *arguments: str) -> tuple[int, str, str]:
        flow = import_module(f"flows.{module}")
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            flow.run_from_shell(getattr(flow, module))
        code = ended.value.code or 0
        assert isinstance(code, int)
        return code, *capfd.readouterr()

    return run_here


def test_every_flow_has_a_command_line() -> None:
    assert {"rotate", "provision", "deploy", "tear_down", "verify_login", "verify_access", "story"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_help_is_shown_without_trouble(run_here: Runner, module: str) -> None:
    code, out, err = run_here(module, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: python -m flows.{module} ")
    assert out.count("\n") <= HELP_LINES, "it fits one screen"


def test_a_dry_run_prints_the_plan_and_its_verdict(world: World) -> None:
    before = world.snapshot()
    code, out, err = run("rotate", "dexter", "--data-loss", "I accept data loss")
    assert code == 0, err
    assert "scale deployment" in out
    assert out.splitlines()[-1].startswith("dexter: planned. Rotation ")
    assert world.snapshot() == before


@pytest.mark.parametrize("options", [["--no-dry-run"], []])
def test_a_refusal_says_what_to_do_and_ends_with_one(world: World, run_here: Runner, options: list[str]) -> None:
    before = world.snapshot()
    code, out, err = run_here("rotate", "dexter", *options)
    assert code == 1
    last = out.splitlines()[-1]
    assert last.startswith("dexter: refused. ")
    assert "Fix: " in last
    assert "I accept data loss" in last
    assert "Traceback" not in out + err
    assert world.snapshot() == before


@pytest.mark.usefixtures("world")
def test_an_unknown_credential_is_answered_with_the_names_that_there_are(run_here: Runner) -> None:
    code, out, err = run_here("rotate", "dextre")
    assert code == 1
    last = out.splitlines()[-1]
    assert last.startswith("dextre: failed. The inventory has no such credential: dextre. Seen: ")
    known = last.partition("credentials.yaml has ")[2].partition(". Fix: ")[0].split(", ")
    assert {"dexter", "dexter-server"} <= set(known)
    assert "Traceback" not in out + err


@pytest.mark.usefixtures("world")
def test_an_error_is_told_in_its_own_words_without_a_traceback(run_here: Runner) -> None:
    nowhere = DEXTER.model_copy(update={"name": "nowhere", "vault": "nosuchvault"})
    code, out, err = run_here("verify_login", listed(nowhere))
    assert code == 1
    last = out.splitlines()[-1]
    assert last.startswith("nowhere: failed. Cannot read the secret: nosuchvault/username-password-candidate. ")
    assert "HostNotFound" in last
    assert "Traceback" not in out + err
    assert "Flow run encountered" not in out


@pytest.mark.slow
@pytest.mark.usefixtures("world")
def test_without_a_server_prefect_starts_one_that_is_quiet(tmp_path: Path) -> None:
    elsewhere = {"PREFECT_API_URL": "", "PREFECT_HOME": str(tmp_path)}
    code, out, err = run("rotate", "dexter", "--data-loss", "I accept data loss", **elsewhere)
    assert code == 0, err
    assert "Starting temporary server" in err
    assert out.splitlines()[-1].startswith("dexter: planned. ")
    for noise in ("Traceback", "database is locked", "elemetry"):
        assert noise not in out + err
