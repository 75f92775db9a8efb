"""Starting and ending a lab's daemon, as the command line and the tests do it.

The starter holds the writing end of a pipe, the lifeline. The daemon ends when the pipe closes before the
starter has said `keep`; an attached daemon is never told so, and ends with its starter. Thus nothing is left
running when a starter is killed, at whatever moment.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lab
from lab import errors
from lab.control.state import LabInfo, StateFolder
from lab.errors import Conflict, InvalidInput, LabError, ServiceFailed

KEEP = b"keep\n"
STOP_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class StartOptions:
    """How a lab is started.

    Args:
        state: the state folder.
        network: first two bytes of its loopback network; None chooses a free one.
        ports: first and last port for listeners on 127.0.0.1; (0, 0) takes any free ones.
        driver: "reconciler" or "republish".
        poll_interval_seconds: overrides the interval that clusters are created with.
        propagation_delay_seconds: how long a new role assignment or federated credential has no effect.
        operation_seconds: how long a long-running operation takes at least.
        is_fresh: whether no resource provider is registered yet, as in a new subscription.
        trusted_issuers: URLs of OIDC issuers outside the lab whose keys its Entra ID fetches.
        listen: address and port at which Azure's services answer without a proxy; None for none.
        prefect_home: PREFECT_HOME of the Prefect server that runs with the lab; None for no such server.
        timeout_seconds: bound on the start.
    """

    state: Path
    network: str | None = None
    ports: tuple[int, int] = (0, 0)
    driver: str = "reconciler"
    poll_interval_seconds: float | None = None
    propagation_delay_seconds: float = 0.0
    operation_seconds: float = 0.2
    is_fresh: bool = False
    trusted_issuers: tuple[str, ...] = ()
    listen: tuple[str, int] | None = None
    prefect_home: Path | None = None
    timeout_seconds: float = 150.0


@dataclass
class Starting:
    """A daemon on its way: it dies when this is closed before `keep`."""

    folder: StateFolder
    process: subprocess.Popen[bytes]
    _lifeline: int
    _report: int

    def wait_until_ready(self, timeout_seconds: float) -> LabInfo:
        """Wait for the daemon's word.

        Raises:
            LabError: the daemon said why it cannot run, or ended without a word.
        """
        with os.fdopen(self._report, "rb") as report:
            self._report = -1
            line = _read_line(report.fileno(), timeout_seconds)
        if not line:
            raise ServiceFailed(
                "the lab did not start",
                name=str(self.folder.path),
                seen=_last_lines(self.folder.daemon_log) or f"not ready after {timeout_seconds:.0f} s",
                fix="read its log and start it again",
            )
        word = json.loads(line)
        if "error" in word:
            raise _rebuilt(word["error"])
        return self.folder.get_info()

    def keep(self) -> None:
        """Let the daemon outlive this process."""
        os.write(self._lifeline, KEEP)
        self.process.returncode = 0  # it is nobody's child to wait for from here on

    def close(self) -> None:
        """Close the lifeline: a daemon that is not kept ends now."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        if self._report >= 0:
            os.close(self._report)
            self._report = -1


def _read_line(descriptor: int, timeout_seconds: float) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([descriptor], [], [], timeout_seconds)
        if not readable:
            return b""
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return b""
        line += chunk
    return line


def _rebuilt(parts: dict[str, Any]) -> LabError:
    """The daemon's error as it was raised there; another class of the taxonomy is not worth a crash."""
    kind = getattr(errors, parts.pop("kind"), ServiceFailed)
    what = parts.pop("what")
    error: LabError = kind(what, **parts)
    return error


def _last_lines(log: Path, count: int = 3) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return " / ".join(line for line in lines[-count:] if line.strip())


def prepare(folder: StateFolder) -> bool:
    """Make the state folder ready for a new lab; True when what a dead lab left was cleared away.

    Raises:
        Conflict: a lab is up or starting there.
        InvalidInput: the folder holds something else, which must not be removed with the lab.
    """
    if folder.is_alive():
        raise Conflict("a lab is already up", name=str(folder.path), fix="use it, or end it first: python -m lab down")
    stale = folder.exists()
    if stale:
        folder.remove()
    elif folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise InvalidInput(
            "the folder cannot hold a lab",
            name=str(folder.path),
            seen="it holds other files, and `down` removes the whole folder",
            fix="give --state a new or an empty folder",
        )
    folder.path.mkdir(parents=True, exist_ok=True, mode=0o711)
    folder.logs.mkdir(exist_ok=True)
    return stale


def spawn(options: StartOptions) -> Starting:
    """Start a daemon in a session of its own; it reports by a pipe when it is ready."""
    folder = StateFolder(options.state.absolute())
    lifeline_read, lifeline_write = os.pipe()
    report_read, report_write = os.pipe()
    arguments = {
        "state": str(folder.path),
        "network": options.network,
        "ports": list(options.ports),
        "driver": options.driver,
        "poll_interval_seconds": options.poll_interval_seconds,
        "propagation_delay_seconds": options.propagation_delay_seconds,
        "operation_seconds": options.operation_seconds,
        "is_fresh": options.is_fresh,
        "trusted_issuers": list(options.trusted_issuers),
        "listen": options.listen,
        "prefect_home": str(options.prefect_home.absolute()) if options.prefect_home else None,
        "lifeline": lifeline_read,
        "report": report_write,
    }
    with folder.daemon_log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.control.daemon", json.dumps(arguments)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lifeline_read, report_write),
            start_new_session=True,
            env=_daemon_environment(),
        )
    os.close(lifeline_read)
    os.close(report_write)
    return Starting(folder, process, lifeline_write, report_read)


def _daemon_environment() -> dict[str, str]:
    """The environment without proxies, Azure's and Kubernetes' variables: the lab itself talks to nobody in Azure."""
    dropped = ("AZURE_", "KUBE", "KEYTURN_", "PG")
    proxies = {"http_proxy", "https_proxy", "no_proxy", "all_proxy"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("KEYTURN_LAB_") or not (name.startswith(dropped) or name.lower() in proxies)
    }
    root = str(Path(lab.__file__).parent.parent)
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH", "")]))}


def start(options: StartOptions) -> LabInfo:
    """Start a lab that goes on after this process, and return when it is ready.

    Raises:
        LabError: why it cannot run; nothing is left of it then.
    """
    folder = StateFolder(options.state.absolute())
    prepare(folder)
    starting = spawn(options)
    try:
        info = starting.wait_until_ready(options.timeout_seconds)
        starting.keep()
    except BaseException:
        _abandon(starting)
        raise
    starting.close()
    return info


@contextmanager
def attached(options: StartOptions) -> Iterator[LabInfo]:
    """A lab for the time of a `with` block; it ends with this process, even when this process is killed."""
    folder = StateFolder(options.state.absolute())
    prepare(folder)
    starting = spawn(options)
    try:
        yield starting.wait_until_ready(options.timeout_seconds)
    finally:
        _abandon(starting)


def _abandon(starting: Starting) -> None:
    """Close the lifeline and wait for the end, which the daemon makes by itself."""
    starting.close()
    try:
        starting.process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        starting.process.kill()
        starting.process.wait()
    starting.folder.remove()


def stop(folder: StateFolder) -> bool:
    """End the lab and remove its folder; False when there was none.

    A daemon that does not end in time is killed; its children die with it.
    """
    if not folder.exists():
        return False
    holder = folder.find_holder()
    if holder is not None:
        _end(holder)
    folder.remove()
    return True


def _end(process: int) -> None:
    """Ask a process to end, and kill it when it has not within the time."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], STOP_TIMEOUT_SECONDS)[0]:
                return
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
