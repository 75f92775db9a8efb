"""One PostgreSQL server of the lab, outside of any pod."""

import asyncio
import shutil
from pathlib import Path

from lab.databases.postgres import INSIDE_ENTRYPOINT, SOCKETS, Postgres
from lab.errors import ServiceFailed
from lab.sandbox.sandboxes import Process, World

READY = b"database system is ready to accept connections"
START_SECONDS = 30


class PostgresServer:
    """A running server; start it with `PostgresServer.start`."""

    def __init__(self, postgres: Postgres, world: World, process: Process, user: str, port: int) -> None:
        self._postgres, self._world, self._process = postgres, world, process
        self._user, self._port = user, port
        self._copying: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, postgres: Postgres, folder: Path, *, address: str, port: int, user: str, password: str, log_file: Path
    ) -> "PostgresServer":
        """Start a server and return it when it accepts connections.

        Args:
            postgres: what to start.
            folder: a folder of its own; made, and removed by `stop`.
            address: the one address that it listens on.
            port: its port.
            user: the superuser.
            password: the superuser's password; only the entrypoint's environment holds it.
            log_file: where its log goes.

        Raises:
            ServiceFailed: it ended before it accepted connections.
        """
        folder.mkdir(parents=True, exist_ok=True)
        world = postgres.world(folder, folder.name, address)
        env = postgres.environment(address, port)
        first = env | {"POSTGRES_USER": user, "POSTGRES_PASSWORD": password, "POSTGRES_DB": "postgres"}
        pipe = asyncio.subprocess.PIPE
        process = await postgres.sandboxes.start(
            world, ["sh", INSIDE_ENTRYPOINT, "postgres"], first, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        server = cls(postgres, world, process, user, port)
        ready = asyncio.Event()
        server._copying = asyncio.create_task(server._copy_log(log_file, ready), name=f"log of {folder.name}")
        await server._wait_until_ready(ready, log_file)
        return server

    async def execute(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the superuser over the server's own socket and return what psql prints.

        Args:
            sql: statements; they go through standard input and are not logged.
            database: where.

        Raises:
            ServiceFailed: a statement failed.
        """
        env = self._postgres.environment(self._world.address, self._port)
        argv = [
            "psql",
            "-X",
            "-q",
            "-At",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            SOCKETS,
            "-p",
            str(self._port),
            "-U",
            self._user,
            "-d",
            database,
        ]
        pipe = asyncio.subprocess.PIPE
        process = await self._postgres.sandboxes.enter(
            self._world, self._process, argv, env, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )
        answer = await process.communicate(sql.encode())
        if await process.wait() != 0:
            raise ServiceFailed("a statement failed on a database server", name=self._world.hostname)
        return answer.decode()

    @property
    def running(self) -> bool:
        """Whether the server has not ended."""
        return self._process.running

    async def stop(self) -> None:
        """End the server and drop its data."""
        await self._process.kill()
        if self._copying is not None:
            await self._copying
        await asyncio.to_thread(shutil.rmtree, self._world.folder, ignore_errors=True)

    async def _copy_log(self, log_file: Path, ready: asyncio.Event) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with log_file.open("ab", buffering=0) as file:
            while line := await stream.readline():
                file.write(line)
                if READY in line:
                    ready.set()

    async def _wait_until_ready(self, ready: asyncio.Event, log_file: Path) -> None:
        waiting = {asyncio.create_task(ready.wait()), asyncio.create_task(self._process.wait())}
        _, pending = await asyncio.wait(waiting, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        if not ready.is_set():
            await self.stop()
            raise ServiceFailed("a database server did not start", name=self._world.hostname, seen=str(log_file))
