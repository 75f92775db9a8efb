"""Workers of the work pool whose runs are processes: `rotate` deployed for them, and one killed with all that it runs.

deploy("rotate")
with running_worker(folder) as worker:
    worker.runs()    # run's id -> its process
    worker.kill()    # as if its machine had lost power
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from testing.labs import ROOT
from testing.processes import list_tree, read_environment

POOL = "keyturn"
RUN_ID = "PREFECT__FLOW_RUN_ID"
HEARTBEAT_SECONDS = 30
"""As often as Prefect lets a run send them."""
COMMAND_SECONDS, END_SECONDS = 300, 30


def deploy(name: str) -> None:
    """Make one of the deployments of prefect.yaml, and its pool."""
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    run_prefect("--no-prompt", "deploy", "--name", name)


def run_prefect(*arguments: str) -> None:
    """Run one of Prefect's commands on this process' server."""
    argv = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Worker:
    """A running worker.

    Args:
        process: its process.
        log: what it and its runs print.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log

    def runs(self) -> dict[UUID, int]:
        """Return the runs that it has processes for."""
        told = {process: read_environment(process).get(RUN_ID) for process in list_tree(self.process.pid)[1:]}
        return {UUID(run): process for process, run in told.items() if run}

    def kill(self) -> None:
        """Kill it, and then whatever it runs, without a word to anybody."""
        tree = list_tree(self.process.pid)
        for process in tree:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait(END_SECONDS)


@contextmanager
def running_worker(folder: Path, name: str, limit: int) -> Iterator[Worker]:
    """Run a worker for a block, in a folder that is not the checkout.

    Args:
        folder: its log is written there.
        name: what it is called.
        limit: how many runs it has at once.
    """
    variables = {"KEYTURN_HOME": str(ROOT), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    variables["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] = str(HEARTBEAT_SECONDS)
    argv = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    argv += ["--name", name, "--limit", str(limit)]
    path = folder / f"{name}.log"
    with path.open("w") as log:
        process = subprocess.Popen(argv, cwd=folder, env={**os.environ, **variables}, stdout=log, stderr=log)
        worker = Worker(process, path)
        try:
            yield worker
        finally:
            worker.kill()
