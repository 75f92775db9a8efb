"""What the database's part of a rotation costs over bare psycopg: `python -m benchmarks.database_step`.

The strategy in-place changes the password by a verifier that is made here, and proves it by a fresh login; the
handshake is traced so that a refusal is known by its code. Bare psycopg sends the password in SQL and logs in. One
pair after the other against one server, who goes first changes each time. No lab: a proxy would hide the difference.
"""

import secrets

import psycopg
from psycopg import sql

from benchmarks.common import Result, Row, quantile, run_alone, timed
from infra.postgres.login import Endpoint, prove_login
from infra.postgres.roles import set_password
from infra.settings import Settings
from tests.integration.postgres_process import PASSWORD, USER, running_server

PAIRS, QUICK_PAIRS, WARM_UP = 400, 40, 10
GOAL = 1.3


class Login:
    """A login whose password changes again and again.

    Args:
        endpoint: its database.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.password, self.settings = endpoint, PASSWORD, Settings()

    def change_by_keyturn(self, new: str) -> None:
        """As the strategy in-place does it."""
        set_password(self.endpoint, USER, self.password, new, self.settings)
        prove_login(self.endpoint, USER, new, self.settings)
        self.password = new

    def change_by_psycopg(self, new: str) -> None:
        """As a script does it."""
        with self._connected(self.password) as connection:
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(USER), sql.Literal(new)))
        with self._connected(new) as connection:
            connection.execute("SELECT 1")
        self.password = new

    def _connected(self, password: str) -> psycopg.Connection:
        where = self.endpoint
        return psycopg.connect(
            host=where.host, port=where.port, dbname=where.database, user=USER, password=password, autocommit=True
        )


def measure(quick: bool) -> Result:
    """Measure pairs."""
    bare: list[float] = []
    ours: list[float] = []
    with running_server() as server:
        login = Login(server.endpoint())
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
