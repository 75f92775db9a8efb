"""Flexible Servers: a real PostgreSQL each, in the shape that the managed service gives it.

The administrator is no superuser but a member of azure_pg_admin; the superuser is azuresu, as which nobody outside
the lab logs in. See https://learn.microsoft.com/azure/postgresql/flexible-server/concepts-servers and
https://learn.microsoft.com/azure/postgresql/flexible-server/security-access-control.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.errors import ServiceFailed
from infra.lab import network
from infra.lab.options import LabOptions
from infra.lab.scram import make_verifier
from infra.lab.tls_front import Backend, TlsFront

logger = logging.getLogger(__name__)

SUPERUSER = "azuresu"
ADMIN_ROLE = "azure_pg_admin"
ACCESS_RULES = """\
host azure_maintenance all all reject
host all all 127.0.0.0/8 scram-sha-256
"""
GRANTED_ROLES = ("pg_monitor", "pg_signal_backend")


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
            "CREATE DATABASE azure_maintenance;",
            "CREATE DATABASE azure_sys;",
            *(f"ALTER DATABASE {name} OWNER TO {ADMIN_ROLE};" for name in ("postgres", "template0", "template1")),
        ]
    )


class Servers:
    """The Flexible Servers of a lab, by name."""

    def __init__(self, options: LabOptions, front: TlsFront, on_change: Callable[[], None]) -> None:
        self._options, self._front, self._on_change = options, front, on_change

    def names(self) -> list[str]:
        """Names of all servers."""
        return []

    async def stop(self) -> None:
        """End all."""

    async def start(self, name: str, administrator: str, password: str, version: str) -> None:
        """Start one."""

    async def set_password(self, name: str, password: str) -> None:
        """Change the password."""

    async def remove(self, name: str) -> None:
        """Remove one."""
