"""A database, and everything that a login does with it: prove itself, look around, change roles.

    database = Database(Address("10.0.0.4", tls=Tls.DISABLE), Settings())
    database.wait_for(login, timeout_seconds=60)
    database.takes(login)                                   # -> False if the database refuses it
    with database.changing(login, RoleChange("The database ...", "...")) as connection:
        disable_login(connection, "orders_a")

Each call logs in on a new connection, because only a new login proves anything.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import psycopg
from psycopg import sql

from infra.credentials import Login
from infra.errors import Code, DatabaseStarting, DatabaseUnreachable, KeyturnError, LoginRefused, Refused, Unverified
from infra.postgres.addresses import Address, Tls, TlsFacts, get_tls_facts
from infra.postgres.handshake import Connection, connect
from infra.postgres.login_parts import extend_validity
from infra.postgres.refusals import translated
from infra.settings import Settings

_POLL_SECONDS = 0.1
_DATABASES = """
SELECT d.datname, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
       COALESCE(array_to_string(d.datacl, ', '), '')
FROM pg_database AS d ORDER BY 1
"""
_SERVER = "SELECT current_setting('server_version'), current_user::text"
_ALTER_OWN_PASSWORD = sql.SQL("ALTER ROLE SESSION_USER PASSWORD {}")


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@dataclass(frozen=True)
class DatabaseRow:
    """One line of psql's \\l."""

    name: str
    owner: str
    encoding: str
    collate: str
    ctype: str
    access: str


@dataclass(frozen=True)
class ServerReport:
    """What a login saw of the server.

    Args:
        address: where it logged in.
        user: the role that its session acts as.
        server_version: such as "14.15".
        databases: those that the server has, by name.
        tls: the TLS that was negotiated; None on a plain connection.
        took_seconds: from the first packet to the last row.
    """

    address: Address
    user: str
    server_version: str
    databases: tuple[DatabaseRow, ...]
    tls: TlsFacts | None
    took_seconds: float


@dataclass(frozen=True)
class RoleChange:
    """What a session is going to change, told as the error if the database refuses it.

    Args:
        refusal: what the database refuses, as a sentence without its full stop.
        fix: what to do about it.
    """

    refusal: str
    fix: str


_OWN_PASSWORD = RoleChange(
    "The database does not let the login change its own password",
    "look at the server's log. A standby accepts no changes; where a hook keeps logins from it (credcheck), name an "
    "administrator in the credential",
)


@dataclass(frozen=True)
class Database:
    """A database at its address.

    Every method raises LoginRefused, DatabaseStarting, DatabaseUnreachable, Unverified or NotFound if it cannot log
    in, as `infra.postgres.handshake.connect` does, or if the connection breaks later; only what it raises besides is
    documented there.

    Args:
        address: where it is.
        settings: the bound on each attempt and each change, routes, and certificate authorities.
        accepts_md5: whether a login may prove itself by md5.
        patience_seconds: how long a login is tried again while the database starts or has no free connection.
        pooler: where clients log in, if not at the address itself: a login that works there, too, is proven.
    """

    address: Address
    settings: Settings
    accepts_md5: bool = False
    patience_seconds: float = 0
    pooler: Address | None = None

    def __str__(self) -> str:
        return str(self.address)

    def beside(self, name: str) -> "Database":
        """Return another database of the same server."""
        return replace(self, address=replace(self.address, database=name), pooler=None)

    @property
    def accepting_md5(self) -> "Database":
        """The same for logins that a rotation replaces: they may prove themselves by md5. A new login must not."""
        return replace(self, accepts_md5=True)

    def patient(self, seconds: float) -> "Database":
        """Return the same for logins that are tried again while the database starts or has no free connection."""
        return replace(self, patience_seconds=seconds)

    @contextmanager
    def connected(self, login: Login) -> Iterator[Connection]:
        """Log in for a block. Whatever breaks in it is one of Keyturn's own errors."""
        with translated(self.address), self._connect(login) as connection:
            yield connection

    def _connect(self, login: Login) -> Connection:
        deadline = time.monotonic() + self.patience_seconds
        while True:
            try:
                return connect(self.address, login, self.settings, accepts_md5=self.accepts_md5)
            except DatabaseStarting:
                if time.monotonic() >= deadline:
                    raise
            _pause(_POLL_SECONDS)

    def prove(self, login: Login) -> None:
        """Log in once, to show that it works: at the database, and then at the pooler in front of it."""
        with self.connected(login) as connection:
            connection.execute("SELECT 1")
        if self.pooler:
            replace(self, address=self.pooler, pooler=None).prove(login)

    def takes(self, login: Login) -> bool:
        """Return whether the login works. Only a refusal counts as no; any other failure is raised.

        A server that keeps md5 of a password has not got one that must be proven by SCRAM: that is a no, too.
        """
        try:
            self.prove(login)
        except LoginRefused:
            return False
        except Unverified as error:
            if error.code == Code.MD5_PASSWORD:
                return False
            raise
        return True

    def wait_for(
        self,
        login: Login,
        timeout_seconds: float,
        on_progress: Callable[[KeyturnError, float], None] = lambda error, left_seconds: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = _pause,
    ) -> None:
        """Log in as soon as the database answers. A refusal, of the login or of this client, is not waited out.

        Args:
            login: who logs in.
            timeout_seconds: bound on the whole wait.
            on_progress: called with the error and the seconds left whenever an attempt fails in a new way.
            clock: measures the bound.
            pause: waits between two attempts.

        Raises:
            DatabaseStarting, DatabaseUnreachable: the last attempt before the bound ended so.
        """
        deadline, seen = clock() + timeout_seconds, ""
        while True:
            try:
                return self.prove(login)
            except (DatabaseStarting, DatabaseUnreachable) as error:
                left_seconds = deadline - clock()
                if left_seconds <= 0 or error.code == Code.CLIENT_NOT_ADMITTED:
                    raise
                if (error.code or error.seen) != seen:
                    seen = error.code or error.seen
                    on_progress(error, left_seconds)
                pause(min(_POLL_SECONDS, left_seconds))

    def inspect(self, login: Login, clock: Callable[[], float] = time.monotonic) -> ServerReport:
        """Log in and report what the server is and has."""
        started = clock()
        tls = None if self.address.tls is Tls.DISABLE else get_tls_facts(self.address, self.settings)
        with self.connected(login) as connection:
            version, user = connection.execute(_SERVER).fetchall()[0]
            databases = tuple(DatabaseRow(*map(str, row)) for row in connection.execute(_DATABASES))
        took_seconds = clock() - started
        return ServerReport(self.address, str(user), str(version).split()[0], databases, tls, took_seconds)

    @contextmanager
    def changing(self, login: Login, change: RoleChange, *, is_rehearsal: bool = False) -> Iterator[Connection]:
        """Log in for a block that is one transaction, which may write whatever the login's own settings say.

        Args:
            login: who makes the change.
            change: what it is, for the error.
            is_rehearsal: whether the transaction is rolled back at the end.

        Raises:
            Refused: the server does not let the login do it; the code is its SQLSTATE.
            DatabaseUnreachable: the connection broke; only a login shows whether the change was made.
        """
        with self.connected(login) as connection:
            try:
                milliseconds = self.settings.connect_timeout_seconds * 1000
                connection.execute(sql.SQL("SET statement_timeout = {}").format(milliseconds))
                connection.execute("SET default_transaction_read_only = off")
                with connection.transaction(force_rollback=is_rehearsal):
                    yield connection
            except psycopg.Error as error:
                translated = self._translate(error, change)
            else:
                return
        raise translated from None

    def _translate(self, error: psycopg.Error, change: RoleChange) -> KeyturnError:
        """Tell a broken connection from a refusal. The server's words may quote the statement: they are left out."""
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
            return DatabaseUnreachable(
                "The connection broke while a login was being changed",
                name=str(self),
                seen=type(error).__name__,
                fix="run again: a login shows first whether the change was made",
                code=error.sqlstate or "",
            )
        seen = type(error).__name__
        return Refused(change.refusal, name=str(self), seen=seen, fix=change.fix, code=error.sqlstate)

    def set_own_password(self, login: Login, new_password: str, valid_for: timedelta | None = None) -> None:
        """Let a login change its own password. Its open sessions continue.

        Args:
            login: with the password that works now.
            new_password: the one that works from then on; it is hashed before it leaves this process.
            valid_for: how long from now it is valid, if it ends at all and the login may say so; None: as before.

        Raises:
            Refused: the server does not let the login change its own password; the code is its SQLSTATE.
            DatabaseUnreachable: the connection broke; only a login shows whether the password changed.
        """
        self._set_own_password(login, new_password, valid_for)

    def rehearse_own_password(self, login: Login) -> None:
        """Set a login's own password to what it is, in a transaction that is rolled back.

        Raises:
            Refused: the server does not let the login change its own password; the code is its SQLSTATE.
        """
        self._set_own_password(login, login.password, None, is_rehearsal=True)

    def _set_own_password(
        self, login: Login, password: str, valid_for: timedelta | None, is_rehearsal: bool = False
    ) -> None:
        with self.changing(login, _OWN_PASSWORD, is_rehearsal=is_rehearsal) as connection:
            connection.execute("SET LOCAL ROLE NONE")
            verifier = make_verifier(connection, replace(login, password=password))
            connection.execute(_ALTER_OWN_PASSWORD.format(verifier))
            if valid_for is not None:
                extend_validity(connection, login.username, valid_for)


def alter_password(connection: Connection, login: Login) -> None:
    """Give a login its password, in the caller's transaction, of which only a hash is sent."""
    name, verifier = sql.Identifier(login.username), make_verifier(connection, login)
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, verifier))


def make_verifier(connection: Connection, login: Login) -> str:
    """Return what the server stores of a login's password: a SCRAM-SHA-256 hash with a new salt each time.

    The server takes it as it is, so no password is in SQL or in any log, whatever `log_statement` says:
    https://www.postgresql.org/docs/current/sql-createrole.html
    """
    made = connection.pgconn.encrypt_password(login.password.encode(), login.username.encode(), b"scram-sha-256")
    return made.decode()
