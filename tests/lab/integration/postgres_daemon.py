"""A program that starts a server and a container, says so, and waits: what a test kills."""

import asyncio
import sys
from pathlib import Path

from postgres_server import PostgresServer

from lab.control.runtime import Runtime


async def main(cache: Path, folder: Path, address: str) -> None:
    """Start and wait for ever."""
    postgres = await Runtime(cache).postgres()
    await PostgresServer.start(
        postgres,
        folder / "server",
        address=address,
        port=5432,
        user="dexter",
        password="Admin123",
        log_file=folder / "postgres.log",
    )
    print("started", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
