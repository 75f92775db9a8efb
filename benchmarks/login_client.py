"""A client that logs in 50 times a second and writes down how each login went; runs in a pod, by its text alone.

Usage: login_client.py WHERE FOLDER OUT; WHERE as libpq takes it. With FOLDER it follows the mounted files: it reads
the pair through the folder that `..data` points to, so it never mixes two generations. With FOLDER `-` it keeps what
its environment held when it began, as most programs do. Each line of OUT: when the login was begun, when it ended
(seconds of the machine's monotonic clock), and the error's kind, `-` for a login that worked. The first that works
makes OUT.ready.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TextIO

import psycopg

PER_SECOND, MOST_AT_ONCE, TIMEOUT_SECONDS = 50, 40, 5


def read_pair(folder: str) -> tuple[str, str]:
    """Return username and password of one generation."""
    if folder == "-":
        return os.environ["USERNAME"], os.environ["PASSWORD"]
    while True:
        generation = Path(folder, Path(folder, "..data").readlink())
        try:
            return (generation / "username").read_text(), (generation / "password").read_text()
        except FileNotFoundError:
            continue


async def log_in(where: str, folder: str) -> str:
    """Log in afresh; return `-`, or what went wrong."""
    username, password = read_pair(folder)
    try:
        connection = await psycopg.AsyncConnection.connect(
            where, user=username, password=password, dbname="postgres", connect_timeout=TIMEOUT_SECONDS
        )
        await connection.close()
    except psycopg.Error as error:
        text = str(error)
        return "refused" if "password authentication failed" in text else "unreachable"
    return "-"


async def attempt(where: str, folder: str, out: TextIO, ready: Path, at_once: asyncio.Semaphore) -> None:
    """Log in once and write down when it began, when it ended and what it came to."""
    begun = time.monotonic()
    async with at_once:
        said = await log_in(where, folder)
    out.write(f"{begun:.4f} {time.monotonic():.4f} {said}\n")
    if said == "-":
        ready.touch()


async def main(where: str, folder: str, path: str) -> None:
    """Log in at even times, however long each login takes."""
    out = Path(path).open("a", buffering=1)  # noqa: SIM115
    at_once, running = asyncio.Semaphore(MOST_AT_ONCE), set()
    due = time.monotonic()
    while True:
        task = asyncio.create_task(attempt(where, folder, out, Path(f"{path}.ready"), at_once))
        running.add(task)
        task.add_done_callback(running.discard)
        due += 1 / PER_SECOND
        await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
