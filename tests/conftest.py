"""Fixtures that all tests share: a lab of their own for each worker, gone when the tests are over."""

import gc
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from lab.control import lifecycle
from testing.labs import RunningLab, make_state_folder

MEMORY, MEMORY_BYTES = Path("/dev/shm"), 2 << 30


def _has_room(folder: Path) -> bool:
    """Whether a folder takes what the tests write, programs included."""
    if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < MEMORY_BYTES:
        return False
    with tempfile.TemporaryDirectory(dir=folder) as made:
        program = Path(made, "program")
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700)
        try:
            return subprocess.run([program], check=False).returncode == 0
        except PermissionError:
            return False


if "TMPDIR" not in os.environ and _has_room(MEMORY):
    os.environ["TMPDIR"] = str(MEMORY)  # a twelfth of the tests' time goes to the files of databases and pods
    tempfile.tempdir = None

settings.register_profile("busy", deadline=None)  # on a busy machine any example may take a second
settings.load_profile("busy")
gc.disable()  # while tests are imported, all of which stay; `pytest_runtestloop` enables it

POLL_INTERVAL_SECONDS = 2.0
ORDER = ("crash", "e2e/test_deployments.py", "integration", "e2e", "lab", "unit")
"""The order in which workers take tests, so that none is left alone with a long one at the end.

One worker begins with a file that needs the Prefect server, so that the others don't wait for its start.
"""
KILLS = ("test_crash", "test_cells")
"""How the files of `crash` begin that go to one worker."""


class ByStack(LoadFileScheduling):
    """A file's tests go to one worker, and so do all that need a stack of another kind than most.

    Those of `crash` go to two, each with a lab of its own: the rotations that are killed, and all others.
    """

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        if "/crash/" in scope:
            return "kills" if Path(scope).name.startswith(KILLS) else "faults"
        return "republish" if "/e2e/" in scope and "republish" in nodeid.partition("[")[2] else scope


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStack:
    """Distribute the tests in the order of `pytest_collection_modifyitems`."""
    config.option.loadscopereorder = False
    return ByStack(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the tests into `ORDER`."""

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        return next((number for number, start in enumerate(ORDER) if path.startswith(start)), len(ORDER))

    items.sort(key=place)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Look for garbage from here on, but not in what was imported: a look through all of that takes half a second."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def labs() -> Iterator[Callable[[str], RunningLab]]:
    """The session's labs, one for each generation of the CSI driver, started when it is asked for first."""
    with ExitStack() as running:

        @cache
        def get(driver: str) -> RunningLab:
            options = lifecycle.StartOptions(
                state=make_state_folder(),
                driver=driver,
                poll_interval_seconds=POLL_INTERVAL_SECONDS,
                operation_seconds=0.05,
            )
            return RunningLab(options, running.enter_context(lifecycle.attached(options)))

        yield get


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, labs: Callable[[str], RunningLab]) -> RunningLab:
    """A lab, or one for each generation of the CSI driver by indirect parametrisation.

    @pytest.mark.parametrize("lab", ["reconciler", "republish"], indirect=True)
    """
    return labs(getattr(request, "param", "reconciler"))


@pytest.fixture
def lab_env(lab: RunningLab, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The lab's variables in this process, for default-constructed clients; without faults from earlier tests."""
    lab.faults.clear_faults()
    for name, value in lab.env.items():
        monkeypatch.setenv(name, value)
    return lab.env
