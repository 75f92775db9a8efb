"""The state folder of a lab: its files, who holds it, and what is left of a lab that died.

The daemon holds a lock on the file `lock` as long as it lives. The lock, not a written process number, says whether
a lab runs and as which process: the kernel drops it with the process, and numbers are used again.
"""

import fcntl
import json
import os
import shutil
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import Conflict, NotFound

LOCK_FORMAT = "hhqqi4x"
"""struct flock, see fcntl(2): kind, whence, start, length, process."""


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

    def find_holder(self) -> int | None:
        """The process number of the daemon that holds this folder, or None. Only asks: takes no lock itself."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            asked = struct.pack(LOCK_FORMAT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(LOCK_FORMAT, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        finally:
            os.close(descriptor)
        return None if kind == fcntl.F_UNLCK else int(pid)

    def is_alive(self) -> bool:
        """Whether a daemon holds this folder."""
        return self.find_holder() is not None

    def exists(self) -> bool:
        """Whether there is anything of a lab here, alive or not."""
        return self.lock_file.exists()

    def hold(self) -> None:
        """Take the lock for the life of this process: its end, not this object's, gives it back.

        A process loses such a lock when it closes any descriptor of the file, so its holder must not ask for it.

        Raises:
            Conflict: a daemon has it.
        """
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise Conflict("a lab is already up", name=str(self.path), fix="end it first: python -m lab down") from None

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
        seen = "nothing there" if not self.exists() else "it is starting" if self.is_alive() else "its daemon has died"
        raise NotFound("no lab runs here", name=str(self.path), seen=seen, fix="start one: python -m lab up")

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
