"""The state folder of a lab: its files, who holds it, and what is left of a lab that died.

The daemon holds a lock on the file `lock` as long as it lives. The lock, not a process number, says whether a
lab runs: the kernel drops it with the process, and numbers are used again.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import Conflict, NotFound


@dataclass(frozen=True)
class LabInfo:
    """What lab.json holds: how to reach a running lab.

    Args:
        pid: process number of the daemon.
        network: first two bytes of its loopback network.
        driver: generation of the CSI driver.
        control_url: where its control API listens.
        control_token: what the control API wants to see.
        tools: folder with kubectl, psql, jq and curl.
        started_at: when it was ready, ISO 8601 in UTC.
        environment: the variables of `lab env`.
    """

    pid: int
    network: str
    driver: str
    control_url: str
    control_token: str
    tools: str
    started_at: str
    environment: dict[str, str]


@dataclass(frozen=True)
class StateFolder:
    """The files of one lab."""

    path: Path

    @property
    def info_file(self) -> Path:
        """lab.json, written when the lab is ready."""
        return self.path / "lab.json"

    @property
    def lock_file(self) -> Path:
        """The file that a living daemon has locked."""
        return self.path / "lock"

    @property
    def hosts_file(self) -> Path:
        """The /etc/hosts of `lab run` and of machines; the daemon adds servers to it."""
        return self.path / "hosts"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the first managed cluster; absent until there is one."""
        return self.path / "kubeconfig"

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.path / "logs"

    @property
    def daemon_log(self) -> Path:
        """What the daemon itself says."""
        return self.logs / "daemon.log"

    def is_alive(self) -> bool:
        """Whether a daemon holds this folder."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)

    def exists(self) -> bool:
        """Whether there is anything of a lab here, alive or not."""
        return self.lock_file.exists()

    def hold(self) -> int:
        """Take the lock for the life of this process; returns the descriptor that must stay open.

        Raises:
            Conflict: a daemon has it.
        """
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise Conflict("a lab is up already", name=str(self.path), remedy="take it down first") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def signal_holder(self, number: int) -> None:
        """Send a signal to the daemon that holds this folder; nothing happens when there is none."""
        try:
            process = os.pidfd_open(int(self.lock_file.read_text()))
        except (OSError, ValueError):
            return
        try:
            if self.is_alive():
                signal.pidfd_send_signal(process, signal.Signals(number))
        except ProcessLookupError:
            return
        finally:
            os.close(process)

    @contextmanager
    def watch_end(self) -> Iterator["EndWatch"]:
        """Open the lock so that the end of its holder can be waited for, even after the folder is gone."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield EndWatch(descriptor)
        finally:
            os.close(descriptor)

    def write_info(self, info: LabInfo) -> None:
        """Write lab.json at once or not at all, readable by its owner alone."""
        draft = self.path / ".lab.json"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(info), file, indent=2)
        draft.replace(self.info_file)

    def get_info(self) -> LabInfo:
        """Read lab.json of the lab that runs here.

        Raises:
            NotFound: no lab runs here.
        """
        if self.is_alive() and self.info_file.exists():
            return LabInfo(**json.loads(self.info_file.read_text()))
        seen = "no such lab" if not self.exists() else "it is starting" if self.is_alive() else "its daemon has died"
        raise NotFound(
            "no lab runs here", name=str(self.path), seen=seen, remedy="start one by: python -m infra.lab up"
        )

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


@dataclass(frozen=True)
class EndWatch:
    """Waits for the end of a daemon."""

    _descriptor: int

    def wait_for_end(self, timeout_seconds: float) -> bool:
        """Wait until the daemon has ended; False when it has not within the time."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                _pause()
            else:
                return True


def _pause(seconds: float = 0.02) -> None:
    """A step of a bounded poll; flock has no time-out of its own."""
    select.select([], [], [], seconds)
