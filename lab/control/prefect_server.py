"""The Prefect server of a lab, so that flows run from different shells leave their runs in one place.

It is Prefect's own command in a process of its own: the lab imports nothing of it. Its process is a child in the lab's
way, so it ends with the daemon, however that ends.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import aiohttp

from lab.control.options import LabOptions
from lab.errors import ServiceFailed
from lab.sandbox.sandboxes import Isolation, Process, Sandboxes, World

ADDRESS, DEFAULT_PORT = "127.0.0.1", 4200
START_SECONDS, STOP_SECONDS = 120.0, 5.0


class PrefectServer:
    """A Prefect server on a loopback port; `start` it early and `wait_until_ready` late, since it takes seconds.

    Args:
        options: the lab's options.
        home: its PREFECT_HOME, which keeps its database.
        cache: folder with databases that are migrated already, one for each version of Prefect.
    """

    def __init__(self, options: LabOptions, home: Path, cache: Path) -> None:
        self._options, self._home = options, home
        self._template = cache / f"prefect-{version('prefect')}.db"
        self._log = options.state_dir / "logs" / "prefect.log"
        self._process: Process | None = None
        self._port, self._reservation = reserve_port(options.ports)

    @property
    def api_url(self) -> str:
        """What PREFECT_API_URL is to be."""
        return f"http://{ADDRESS}:{self._port}/api"

    async def start(self) -> None:
        """Start the process; it is not ready yet."""
        folder = self._options.state_dir / "prefect"
        for path in (folder, self._home):
            path.mkdir(parents=True, exist_ok=True)
        if self._template.exists() and not self._database.exists():
            shutil.copyfile(self._template, self._database)
        argv = [sys.executable, "-m", "prefect", "server", "start", "--host", ADDRESS, "--port", str(self._port)]
        with self._log.open("ab") as log:
            self._process = await Sandboxes(Isolation.MAPPED).start(
                World(folder, "prefect", ADDRESS), argv, self._environment(), stdout=log, stderr=log
            )

    @property
    def _database(self) -> Path:
        return self._home / "prefect.db"

    def _environment(self) -> dict[str, str]:
        """The caller's settings, and those without which a server on any port is of no use to a browser."""
        return {
            **os.environ,
            "PREFECT_HOME": str(self._home),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_SERVER_UI_API_URL": self.api_url,
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }

    async def wait_until_ready(self) -> None:
        """Wait until it answers.

        Raises:
            ServiceFailed: it ended, or took too long.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
                while self._process is not None and self._process.running:
                    if await self._is_healthy(session):
                        await asyncio.to_thread(self._keep_template)
                        return
                    await asyncio.sleep(0.05)
        raise ServiceFailed(
            "the Prefect server did not start",
            name=self.api_url,
            seen=" / ".join(self._log.read_text(errors="replace").split("\n")[-4:]).strip(" /"),
            fix="start the lab without it: python -m lab up --no-prefect",
        )

    async def _is_healthy(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.api_url}/health") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def _keep_template(self) -> None:
        """Keep a copy of a database that was just made: to migrate an empty one takes most of the first start."""
        if self._template.exists() or not self._database.exists():
            return
        self._template.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._template.parent) as folder:
            draft = Path(folder, self._template.name)
            with (
                contextlib.closing(sqlite3.connect(self._database)) as source,
                contextlib.closing(sqlite3.connect(draft)) as copy,
            ):
                source.backup(copy)
            draft.replace(self._template)

    async def stop(self) -> None:
        """End it; it gets a moment to write down what it holds in memory."""
        if self._process is not None:
            self._process.send(signal.SIGINT)  # it is killed by SIGTERM at once
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
            await self._process.kill()
        self._reservation.close()


def reserve_port(ports: tuple[int, int]) -> tuple[int, socket.socket]:
    """Choose a port on loopback, and hold it against other labs until it listens.

    Args:
        ports: first and last of those that may be used; (0, 0) means Prefect's own, or any if that is taken.

    Returns:
        The port, and what holds it as long as it is open.

    Raises:
        ServiceFailed: none is free.
    """
    first, last = ports
    for port in range(last, first - 1, -1) if last else (DEFAULT_PORT, 0):
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((ADDRESS, port))
                found: int = probe.getsockname()[1]
                holder.bind(f"\0keyturn-lab-port-{found}")
        except OSError:
            holder.close()
            continue
        return found, holder
    raise ServiceFailed("no port is free for the Prefect server", name=f"{first}-{last}", fix="give more --port-range")
