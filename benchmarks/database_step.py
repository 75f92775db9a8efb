"""What the database's part of a rotation costs over bare psycopg: `python -m benchmarks.database_step`.

The strategy in-place changes the password by a verifier that is made here, and proves it by a fresh login; the
handshake is traced so that a refusal is known by its code. Bare psycopg sends the password in SQL and logs in. One
pair after the other against one server, who goes first changes each time. No lab: a proxy would hide the difference.

Beside them AWS's rotation functions, as they are, against the same server and moto's Secrets Manager: `make peers`.
"""

import secrets
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import sql

from benchmarks.aws_peer import find_reason, running_functions
from benchmarks.common import Result, Row, quantile, run_alone, timed
from infra.postgres.database import Database
from testing.postgres_process import ADMIN, running_server

PAIRS, QUICK_PAIRS, WARM_UP = 400, 40, 10
GOAL = 1.3
AWS_EVERY = 4
"""One of so many pairs is followed by a rotation of each of AWS's functions."""
KINDS = {"single": "single users", "alternating": "alternating users"}
PARTS = {"database": "its connections alone", "set and test": "setSecret and testSecret", "all": "all four steps"}
AWS_NOTE = (
    "AWS's functions try the new password before they set it, send it in SQL, and log in once more. Secrets Manager is "
    "moto in their process: `setSecret and testSecret` has the client that each step makes, and no network."
)


class ChangingLogin:
    """A login whose password changes again and again.

    Args:
        database: where it logs in.
    """

    def __init__(self, database: Database) -> None:
        self.database, self.login = database, ADMIN

    def change_by_keyturn(self, new: str) -> None:
        """As the strategy in-place does it."""
        self.database.set_own_password(self.login, new)
        self.login = replace(self.login, password=new)
        self.database.prove(self.login)

    def change_by_psycopg(self, new: str) -> None:
        """As a script does it."""
        with self._connected() as connection:
            role = sql.Identifier(self.login.username)
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(new)))
        self.login = replace(self.login, password=new)
        with self._connected() as connection:
            connection.execute("SELECT 1")

    def _connected(self) -> psycopg.Connection:
        address, login = self.database.address, self.login
        return psycopg.connect(
            host=address.host,
            port=address.port,
            dbname=address.database,
            user=login.username,
            password=login.password,
            autocommit=True,
        )


@dataclass
class Found:
    """The milliseconds of each way, one after the other."""

    bare: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    aws: dict[str, list[dict[str, float]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def list_rows(self) -> list[Row]:
        """Return the table."""
        reached = self.ratio <= GOAL and self.late <= GOAL
        rows = [
            Row("bare psycopg: ALTER ROLE with the password in SQL, and a login", self.bare, "ms"),
            Row("Keyturn: verifier, ALTER ROLE, proof", self.ours, "ms", f"at most {GOAL:g} x bare", reached),
        ]
        for kind, told in self.aws.items():
            for part, words in PARTS.items():
                if told:
                    rows.append(Row(f"AWS's function for {KINDS[kind]}: {words}", [took[part] for took in told], "ms"))
        return rows

    @property
    def ratio(self) -> float:
        """How many times as long as bare psycopg it takes, at the median."""
        return Row("", self.ours).median / Row("", self.bare).median

    @property
    def late(self) -> float:
        """The same at 95 %."""
        return quantile(self.ours, 0.95) / quantile(self.bare, 0.95)


def measure(quick: bool) -> Result:
    """Measure pairs; every few of them also AWS's functions, where they were fetched."""
    found, reason = Found(), find_reason()
    with running_server() as server, nullcontext() if reason else running_functions(server) as functions:
        login = ChangingLogin(server.database())
        ways = [(login.change_by_psycopg, found.bare), (login.change_by_keyturn, found.ours)]
        for number in range((QUICK_PAIRS if quick else PAIRS) + WARM_UP):
            for way, times in ways if number % 2 else reversed(ways):
                new = secrets.token_hex(16)
                took = timed(lambda way=way, new=new: way(new))
                if number >= WARM_UP:
                    times.append(1000 * took)
            if functions and number % AWS_EVERY == 0:
                for kind, told in found.aws.items():
                    parts = functions.rotate(kind)
                    if number >= WARM_UP:
                        told.append(parts)
    times = f"Keyturn takes {found.ratio:.2f} times as long at the median, {found.late:.2f} times at 95 %."
    told_of_aws = f"AWS's functions were not measured: {reason}." if reason else AWS_NOTE
    return Result("The database's step, in place", found.list_rows(), [times, told_of_aws])


if __name__ == "__main__":
    run_alone(measure, __doc__ or "")
