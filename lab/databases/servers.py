"""Flexible Servers: a real PostgreSQL each, in the shape that the managed service gives it.

The administrator is no superuser but a member of azure_pg_admin; the superuser is azuresu, as which nobody outside
the lab logs in. See https://learn.microsoft.com/azure/postgresql/flexible-server/concepts-servers and
https://learn.microsoft.com/azure/postgresql/flexible-server/security-access-control.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import struct
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from lab.control import network
from lab.control.options import LabOptions
from lab.databases.postgres import INSIDE_ENTRYPOINT, Postgres
from lab.databases.scram import make_verifier
from lab.databases.tls_front import Backend, TlsFront
from lab.errors import NotFound, ServiceFailed
from lab.sandbox.sandboxes import Process

logger = logging.getLogger(__name__)

SUPERUSER = "azuresu"
ADMIN_ROLE = "azure_pg_admin"
GRANTED_ROLES = ("pg_monitor", "pg_signal_backend")
START_TIMEOUT_SECONDS = 30


def quote_identifier(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def first_statements(administrator: str, verifier: str) -> str:
    """What makes a fresh PostgreSQL look like a Flexible Server."""
    admin = quote_identifier(administrator)
    return "\n".join(
        [
            f"CREATE ROLE {ADMIN_ROLE} NOLOGIN;",
            f"GRANT {', '.join(GRANTED_ROLES)} TO {ADMIN_ROLE};",
            f"CREATE ROLE {admin} LOGIN CREATEDB CREATEROLE PASSWORD '{verifier}' IN ROLE {ADMIN_ROLE};",
            "CREATE DATABASE azure_maintenance ALLOW_CONNECTIONS false;",
            "CREATE DATABASE azure_sys;",
            *(f"ALTER DATABASE {name} OWNER TO {ADMIN_ROLE};" for name in ("postgres", "template0", "template1")),
        ]
    )


@dataclass(frozen=True)
class Server:
    """A running Flexible Server.

    Args:
        name: its name.
        administrator: the login that its owner has.
        folder: its own folder on the machine.
        backend: where its PostgreSQL listens.
        process: that PostgreSQL.
        superuser_password: known here alone.
    """

    name: str
    administrator: str
    folder: Path
    backend: Backend
    process: Process
    superuser_password: str


class Servers:
    """The Flexible Servers of a lab, by name.

    Args:
        options: the lab's options.
        front: the gateway that clients reach them through.
        prepare: gives PostgreSQL, prepared once for all servers.
        on_change: called when servers come and go.
    """

    def __init__(
        self,
        options: LabOptions,
        front: TlsFront,
        prepare: Callable[[], Awaitable[Postgres]],
        on_change: Callable[[], None],
    ) -> None:
        self._options, self._front, self._prepare, self._on_change = options, front, prepare, on_change
        self._servers: dict[str, Server] = {}
        self._count = 0

    def names(self) -> list[str]:
        """Names of all servers."""
        return sorted(self._servers)

    async def start(self, name: str, administrator: str, password: str, version: str) -> None:
        """Start a server; the PostgreSQL of this machine stands in for every `version`."""
        self._count += 1
        number = self._count
        postgres = await self._prepare()
        backend = Backend(f"{self._options.network}.{network.SERVERS}.{number}", network.POSTGRES_PORT)
        superuser_password = secrets.token_urlsafe(24)
        folder = self._options.state_dir / "servers" / f"{number}-{name}"
        process = await self._launch(postgres, folder, backend, superuser_password)
        server = Server(name, administrator, folder, backend, process, superuser_password)
        try:
            await self._wait_until_ready(server)
            await self._execute(postgres, server, first_statements(administrator, make_verifier(password)))
        except BaseException:
            await process.kill()
            raise
        self._servers[name] = server
        self._front.add(name, backend)
        self._on_change()
        logger.info("server %s stands in for version %s with PostgreSQL %s", name, version, postgres.binaries.version)

    async def set_password(self, name: str, password: str) -> None:
        """Change the administrator's password.

        Raises:
            NotFound: there is no such server.
        """
        server = self._servers.get(name)
        if server is None:
            raise NotFound("no such database server", name=name)
        role = quote_identifier(server.administrator)
        await self._execute(await self._prepare(), server, f"ALTER ROLE {role} PASSWORD '{make_verifier(password)}';")

    async def remove(self, name: str) -> None:
        """End a server and drop its data; nothing happens when there is none."""
        server = self._servers.pop(name, None)
        if server is None:
            return
        self._front.remove(name)
        self._on_change()
        await server.process.kill()
        await asyncio.to_thread(shutil.rmtree, server.folder, ignore_errors=True)

    async def stop(self) -> None:
        """End all servers."""
        for name in list(self._servers):
            await self.remove(name)

    async def _launch(self, postgres: Postgres, folder: Path, backend: Backend, password: str) -> Process:
        folder.mkdir(parents=True)
        world = postgres.world(folder, folder.name, backend.address)
        environment = postgres.environment(backend.address, backend.port) | {
            "POSTGRES_USER": SUPERUSER,
            "POSTGRES_PASSWORD": password,
            "POSTGRES_DB": "postgres",
        }
        log = self._options.state_dir / "logs" / f"server-{folder.name}.log"
        with log.open("ab") as sink:
            argv = ["/bin/sh", INSIDE_ENTRYPOINT, "postgres"]
            return await postgres.sandboxes.start(world, argv, environment, stdout=sink, stderr=sink)

    async def _wait_until_ready(self, server: Server) -> None:
        """Wait until it takes logins.

        Raises:
            ServiceFailed: it ended, or took too long.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                while server.process.running:
                    if await _asks_for_login(server.backend):
                        return
                    await asyncio.sleep(0.02)
        raise ServiceFailed("PostgreSQL did not start", name=server.name, fix="read its log: python -m lab logs --list")

    async def _execute(self, postgres: Postgres, server: Server, statements: str) -> None:
        """Run SQL as the superuser; the statements go by standard input, the password by the environment.

        Raises:
            ServiceFailed: PostgreSQL refused them.
        """
        environment = {"PGPASSWORD": server.superuser_password, "PATH": os.defpath, "PGSSLMODE": "disable"}
        process = await asyncio.create_subprocess_exec(
            postgres.binaries.folder / "psql",
            *("-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres"),
            *("-h", server.backend.address, "-p", str(server.backend.port), "-U", SUPERUSER),
            env=environment,
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=PIPE,
        )
        _, said = await process.communicate(statements.encode())
        if process.returncode != 0:
            seen = said.decode(errors="replace").splitlines()[:1]
            raise ServiceFailed("a server could not be set up", name=server.name, seen="".join(seen))


async def _asks_for_login(backend: Backend) -> bool:
    """Whether a startup message is answered with a request for authentication; while starting it is an error."""
    message = struct.pack("!i", 196608) + f"user\0{SUPERUSER}\0\0".encode()
    try:
        reader, writer = await asyncio.open_connection(backend.address, backend.port)
    except OSError:
        return False
    try:
        writer.write(struct.pack("!i", len(message) + 4) + message)
        return await reader.read(1) == b"R"
    except OSError:
        return False
    finally:
        writer.close()
