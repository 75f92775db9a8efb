"""A running lab as tests and benchmarks use it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.control import lifecycle
from lab.control.client import ControlClient
from lab.control.state import LabInfo

ROOT = Path(__file__).parent.parent
"""The checkout."""


@dataclass(frozen=True)
class RunningLab:
    """A lab as tests use it.

    Args:
        options: what it was started with.
        info: what its lab.json holds.
    """

    options: lifecycle.StartOptions
    info: LabInfo

    @property
    def env(self) -> dict[str, str]:
        """The variables of `lab env`, but for the public authorities in its bundle, which nobody here speaks to.

        To load them all costs 18 ms of CPU a connection, most of what a rotation needs.
        """
        bundle = str(self.state_dir / "ca-bundle.pem")
        return {
            name: value.replace(bundle, str(self.state_dir / "ca.pem")) for name, value in self.info.environment.items()
        }

    @property
    def faults(self) -> ControlClient:
        """Adds and clears faults, tells the status."""
        return ControlClient(self.info.control_url, self.info.control_token)

    @property
    def state_dir(self) -> Path:
        """Its state folder."""
        return self.options.state

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command by `lab run` and return what it printed."""
        return subprocess.run(
            [sys.executable, "-m", "lab", "run", "--state", str(self.state_dir), "--", *argv],
            input=stdin,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )


def make_state_folder() -> Path:
    """A short path that other users may pass through: PostgreSQL drops root, and sockets have short names."""
    folder = Path(tempfile.mkdtemp(prefix="keyturn-"))
    folder.chmod(0o711)
    return folder
