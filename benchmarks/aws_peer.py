"""AWS's rotation functions as a process that rotates when it is told to, where `make peers` has fetched them."""

import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import sql

from benchmarks.common import ROOT
from testing.postgres_process import ADMIN, Server

PEERS = ROOT / ".keyturn/peers"
PYTHON, FUNCTIONS = PEERS / "bin/python", PEERS / "aws-functions"
SCRIPT = ROOT / "benchmarks/aws_functions.py"
NAME = "aws_administrator"
"""Who makes the alternating users; its password stays, others' change meanwhile."""
END_SECONDS = 30


def find_reason() -> str:
    """Return why AWS's functions cannot run here; empty if they can."""
    if not PYTHON.exists():
        return f"{PYTHON.relative_to(ROOT)} does not exist; `make peers` installs moto, boto3 and PyGreSQL into it"
    if not list(FUNCTIONS.glob("*/lambda_function.py")):
        return f"{FUNCTIONS.relative_to(ROOT)} does not exist; `make peers` fetches AWS's functions into it"
    command = [PYTHON, "-c", "import boto3, moto, pg, pgdb"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stderr.strip().rpartition("\n")[2] if found.returncode else ""


class AwsFunctions:
    """The functions for single and for alternating users.

    Args:
        process: benchmarks/aws_functions.py.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def rotate(self, kind: str) -> dict[str, float]:
        """Rotate a credential: `single` or `alternating`. Returns how many milliseconds each part took."""
        self._say(kind)
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, f"AWS's function ended: {self._process.wait(END_SECONDS)}"
        found: dict[str, float] = json.loads(answer)
        return found

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


@contextmanager
def running_functions(server: Server) -> Iterator[AwsFunctions]:
    """Run the functions for a block, against a server."""
    password = secrets.token_hex(16)
    create = sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(sql.Identifier(NAME), sql.Literal(password))
    with server.database().connected(ADMIN) as connection:
        connection.execute(create)
    argv: list[Any] = [PYTHON, SCRIPT, FUNCTIONS]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    told = {"host": "127.0.0.1", "port": server.port, "username": NAME, "password": password}
    try:
        functions = AwsFunctions(process)
        functions._say(json.dumps(told))
        yield functions
    finally:
        process.communicate(timeout=END_SECONDS)
