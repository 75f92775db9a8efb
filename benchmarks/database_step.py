"""What the database's part of a rotation costs over bare psycopg: `python -m benchmarks.database_step`.

The strategy in-place changes the password by a verifier that is made here, and proves it by a fresh login; the
handshake is traced so that a refusal is known by its code. Bare psycopg sends the password in SQL and logs in. One
pair after the other against one server, who goes first changes each time. No lab: a proxy would hide the difference.
"""

import secrets
from dataclasses import replace

import psycopg
from psycopg import sql

from benchmarks.common import Result, Row, quantile, run_alone, timed
from infra.postgres.database import Database
from testing.postgres_process import ADMIN, running_server

PAIRS, QUICK_PAIRS, WARM_UP = 400, 40, 10
GOAL = 1.3


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


def measure(quick: bool) -> Result:
    """Measure pairs."""
    bare: list[float] = []
    ours: list[float] = []
    with running_server() as server:
        login = ChangingLogin(server.database())
        ways = [(login.change_by_psycopg, bare), (login.change_by_keyturn, ours)]
        for number in range((QUICK_PAIRS if quick else PAIRS) + WARM_UP):
            for way, found in ways if number % 2 else reversed(ways):
                new = secrets.token_hex(16)
                took = timed(lambda way=way, new=new: way(new))
                if number >= WARM_UP:
                    found.append(1000 * took)
    ratio = Row("", ours).median / Row("", bare).median
    late = quantile(ours, 0.95) / quantile(bare, 0.95)
    reached = ratio <= GOAL and late <= GOAL
    return Result(
        "The database's step, in place",
        [
            Row("bare psycopg: ALTER ROLE with the password in SQL, and a login", bare, "ms"),
            Row("Keyturn: verifier, ALTER ROLE, proof", ours, "ms", f"at most {GOAL:g} x bare", reached),
        ],
        [f"Keyturn takes {ratio:.2f} times as long at the median, {late:.2f} times at 95 %."],
    )


if __name__ == "__main__":
    run_alone(measure, __doc__ or "")
