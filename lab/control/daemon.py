"""The process that is the lab: it starts all parts, says when it is ready, and ends them all.

It is started by lab.control.lifecycle with its arguments as JSON and two pipes: the lifeline, whose end is this
process' end, and the report, which takes one line: ready, or the error.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import secrets
import signal
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.commands import tools
from lab.control import network
from lab.control.assembly import Lab
from lab.control.lifecycle import KEEP
from lab.control.options import DriverGeneration, LabOptions
from lab.control.state import LabInfo, StateFolder
from lab.errors import LabError, ServiceFailed

logger = logging.getLogger("lab.control.daemon")

GARBAGE = 20_000
"""How many objects are made before garbage is looked for: a request makes hundreds, and leaves next to none."""


@dataclass(frozen=True)
class Arguments:
    """What the starter gives."""

    state: str
    network: str | None
    ports: tuple[int, int]
    driver: str
    poll_interval_seconds: float | None
    propagation_delay_seconds: float
    operation_seconds: float
    is_fresh: bool
    trusted_issuers: list[str]
    listen: tuple[str, int] | None
    prefect_home: str | None
    lifeline: int
    report: int

    def options(self, prefix: str) -> LabOptions:
        """The lab's options, with the network that was reserved."""
        return LabOptions(
            state_dir=Path(self.state),
            network=prefix,
            ports=(self.ports[0], self.ports[1]),
            driver=DriverGeneration(self.driver),
            poll_interval_seconds=self.poll_interval_seconds,
            propagation_delay_seconds=self.propagation_delay_seconds,
            operation_seconds=self.operation_seconds,
            is_fresh=self.is_fresh,
            trusted_issuers=tuple(self.trusted_issuers),
            listen=(self.listen[0], self.listen[1]) if self.listen else None,
            prefect_home=Path(self.prefect_home) if self.prefect_home else None,
        )


async def _until_told(lifeline: int) -> None:
    """Wait until this process is to end: by a signal, or by the end of an attached starter."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)

    def on_lifeline() -> None:
        word = os.read(lifeline, len(KEEP))
        loop.remove_reader(lifeline)
        if word != KEEP:
            logger.info("the starter has ended, so the lab ends")
            told.set()

    loop.add_reader(lifeline, on_lifeline)
    await told.wait()


@contextlib.asynccontextmanager
async def _running(arguments: Arguments, folder: StateFolder) -> AsyncIterator[LabInfo]:
    """The lab, from its first file to its last process."""
    async with AsyncExitStack() as stack:
        reservation = stack.enter_context(network.reserve(arguments.network))
        lab = Lab(arguments.options(reservation.prefix), folder, tools.get_cache_dir(folder.path))
        stack.push_async_callback(lab.stop)
        await lab.start()
        control = await lab.open_control(secrets.token_urlsafe(24))
        yield LabInfo(
            pid=os.getpid(),
            network=reservation.prefix,
            driver=arguments.driver,
            control_url=control.url,
            control_token=control.token,
            tools=str(lab.tools_dir),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=lab.environment(),
        )


async def _live(arguments: Arguments, folder: StateFolder) -> None:
    """Start, report, wait for the end; whatever happens, nothing is left running."""
    told = asyncio.create_task(_until_told(arguments.lifeline))
    life = asyncio.create_task(_start_and_stay(arguments, folder))
    try:
        await asyncio.wait([told, life], return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        life.cancel()
        await asyncio.gather(told, life, return_exceptions=True)
    if not life.cancelled() and (error := life.exception()) is not None:
        raise error


async def _start_and_stay(arguments: Arguments, folder: StateFolder) -> None:
    async with _running(arguments, folder) as info:
        folder.write_info(info)
        gc.freeze()  # what is there stays, and is not to be looked through for garbage again and again
        gc.set_threshold(GARBAGE)
        _report(arguments.report, {"ready": True})
        logger.info("ready, network %s.0.0/16", info.network)
        await asyncio.Event().wait()


def _report(descriptor: int, word: dict[str, Any]) -> None:
    """Tell the starter; it may be gone."""
    with contextlib.suppress(OSError):
        os.write(descriptor, json.dumps(word).encode() + b"\n")
        os.close(descriptor)


def main() -> int:
    """Run the lab until it is told to end; 1 when it could not start."""
    arguments = Arguments(**json.loads(sys.argv[1]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stdout)
    folder = StateFolder(Path(arguments.state))
    try:
        folder.hold()
    except LabError as error:
        _report(arguments.report, {"error": _parts(error)})
        return 1
    code = 0
    try:
        asyncio.run(_live(arguments, folder))
    except Exception as error:
        logger.exception("the lab has failed")
        _report(arguments.report, {"error": _parts(error)})
        code = 1
    folder.remove()
    return code


def _parts(error: Exception) -> dict[str, str]:
    """An error as the starter rebuilds it."""
    if not isinstance(error, LabError):
        where = traceback.extract_tb(error.__traceback__)[-1]
        seen = f"{error} ({Path(where.filename).name}:{where.lineno})"
        error = ServiceFailed("the lab failed", name=type(error).__name__, seen=seen, fix="report it, with the log")
    return {
        "kind": type(error).__name__,
        "what": error.what,
        "name": error.name,
        "seen": error.seen,
        "fix": error.fix,
        "code": error.code,
    }


if __name__ == "__main__":
    sys.exit(main())
