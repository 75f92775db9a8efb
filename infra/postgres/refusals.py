"""What a PostgreSQL server answers when it does not do what it is asked, as Keyturn's own errors.

The cause is told by the SQLSTATE and by the server's routine that reports it. Both are the same in every language and
version, unlike the text (`lc_messages`). 28000 alone has many causes: a role that may not log in is a refusal of the
login, a missing line in pg_hba.conf (a Flexible Server's firewall answers so) blocks the client, whoever logs in.
https://www.postgresql.org/docs/current/errcodes-appendix.html
https://www.postgresql.org/docs/current/protocol-error-fields.html
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import psycopg

from infra.errors import (
    Code,
    DatabaseStarting,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    NotFound,
    ServiceFailed,
    Unverified,
)
from infra.postgres.addresses import Address, tls_failed, unreachable

REFUSALS = ("28P01", "28000")
"""The codes of a LoginRefused: the password is wrong; or it is right, and the role may not log in."""
_RESPONSE = re.compile(r'\bErrorResponse\t.*?\bC "(\w{5})" M "(.*?)"(?= \w "| \\x00)(?:.* R "(\w+)")?')
_ROLE_ROUTINE, _ROLE_WORDS = "InitializeSessionUserId", "is not permitted to log in"
"""Who refuses a role that may not log in, and the words of poolers that pass on no routine."""
_LIMITS = {"InitializeSessionUserId": "role", "CheckMyDatabase": "database"}
"""Who finds that a limit of its own is reached, which the server's free slots do not help."""
_NO_PROOF = {
    "did not complete authentication": Code.NO_PASSWORD_PROOF,
    "cleartext password": Code.CLEARTEXT_PASSWORD,
    "hashed password": Code.MD5_PASSWORD,
}
"""What libpq says of a server that asks for another proof than it may have. It says so in English only."""

_MEANINGS: dict[str, tuple[type[KeyturnError], str, str]] = {
    "57P03": (DatabaseStarting, "The database accepts no connections at the moment", ""),
    "3D000": (NotFound, "The login works, but the database does not exist", "correct the credential's `database`"),
    "42501": (
        Unverified,
        "The login works, but the database does not let it do this",
        "grant what is missing; if that is CONNECT, or correct the credential's `database`",
    ),
}
"""Codes that have one meaning each: the error, what it says, and its fix."""


@dataclass(frozen=True)
class Answer:
    """An ErrorResponse of the server.

    Args:
        code: its SQLSTATE.
        said: the text, in the server's language. It may have names, so it is shown only where it helps.
        routine: the function in the server's source that reported it; empty if a pooler answers.
    """

    code: str
    said: str = ""
    routine: str = ""

    @property
    def is_refused_role(self) -> bool:
        """Whether a role may not log in, or does not exist."""
        return self.routine == _ROLE_ROUTINE or (not self.routine and _ROLE_WORDS in self.said)


def explain_handshake(address: Address, trace: str, message: str, in_time: bool) -> KeyturnError:
    """Make the error of a connection that was not made.

    Args:
        address: where.
        trace: what libpq wrote of the protocol.
        message: libpq's own message.
        in_time: whether the handshake ended.
    """
    if found := _RESPONSE.search(trace):
        code, said, routine = found.groups()
        return explain(address, Answer(code, said, routine or ""))
    seen = " ".join(message.split()).removeprefix("connection is bad: ") if in_time else "no answer in time"
    if "certificate" in seen or "SSL" in seen:
        return tls_failed(address, seen)
    if "authentication" in seen or "auth method" in seen:
        proof = next((code for words, code in _NO_PROOF.items() if words in seen), Code.NO_PASSWORD_PROOF)
        return Unverified(proof, name=str(address), seen=seen)
    return unreachable(address, seen)


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Translate what psycopg raises in a block. The server's words may quote a statement: they are left out."""
    try:
        yield
    except psycopg.Error as error:
        answer = Answer(error.sqlstate or "", routine=error.diag.source_function or "")
        translation = explain(address, answer, seen=type(error).__name__)
    else:
        return
    raise translation from None


def explain(address: Address, answer: Answer, seen: str = "") -> KeyturnError:
    """Make the error of an answer.

    Args:
        address: where.
        answer: the server's; without a code, the connection broke.
        seen: what is shown of it; its text by default.
    """
    code, name, seen = answer.code, str(address), seen or answer.said
    match code:
        case "28P01":
            told = "a wrong username or password, or one that is no longer valid"
            return _refuse(name, code, told, "find out which versions of the secrets the database was given")
        case "28000":
            return _explain_admission(name, answer)
        case "53300":
            return _explain_full_house(name, answer, seen)
    if code in _MEANINGS:
        kind, what, fix = _MEANINGS[code]
        return kind(what, name=name, seen=seen, fix=fix, code=code)
    if not code or code.startswith(("08", "57")):
        return _explain_break(name, code, seen)
    return ServiceFailed("The database answered with an error", name=name, seen=seen, code=code)


def _refuse(name: str, code: str, seen: str, fix: str) -> LoginRefused:
    return LoginRefused("The database refused the login", name=name, seen=seen, fix=fix, code=code)


def _explain_admission(name: str, answer: Answer) -> KeyturnError:
    """Tell a role that is refused from a client that is."""
    if answer.is_refused_role:
        return _refuse(name, answer.code, "the role may not log in", "if it shall be used: ALTER ROLE ... LOGIN")
    client = _find_address(answer.said)
    seen = f"refused for {client or 'this client'}, whatever the password (SQLSTATE {answer.code})"
    return DatabaseUnreachable(Code.CLIENT_NOT_ADMITTED, name=name, seen=seen)


def _find_address(said: str) -> str:
    """Return the client's address as the server sees it, which firewalls and pg_hba.conf need."""
    for word in re.findall(r"[0-9A-Fa-f.:]{3,}", said):
        try:
            return str(ip_address(word))
        except ValueError:
            continue
    return ""


def _explain_full_house(name: str, answer: Answer, seen: str) -> DatabaseStarting:
    if limit := _LIMITS.get(answer.routine):
        what, seen = f"The {limit}'s connection limit is reached", f"too many connections for the {limit}"
        fix = f"raise the {limit}'s CONNECTION LIMIT, or let clients keep fewer connections; it rarely passes by itself"
    else:
        what = "The database has no free connection"
        fix = "close connections that nobody needs, or raise max_connections"
    return DatabaseStarting(what, name=name, seen=seen, fix=fix, code=answer.code)


def _explain_break(name: str, code: str, seen: str) -> DatabaseUnreachable:
    if code == "57014":
        return DatabaseUnreachable(
            "The database did not answer in time", name=name, seen=seen, fix="see what it is busy with", code=code
        )
    fix = "see the server's log, then run again"
    if code == "08P01":
        fix = "see the pooler's log (PgBouncer): it admits a login itself and fails at its server; then run again"
    return DatabaseUnreachable("The connection to the database broke", name=name, seen=seen, fix=fix, code=code)
