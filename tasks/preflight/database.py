"""What is looked at in the database: copies of the password, free connections, and how passwords are kept."""

from collections.abc import Iterator

from infra.credentials import Login, PasswordCopies, Strategy
from infra.errors import Code, KeyturnError, Refused
from infra.postgres.copies import Copies, find_copies, list_databases
from infra.postgres.database import Database
from infra.postgres.glimpse import Glimpse
from infra.postgres.slots import Slots
from infra.rotation.preflight import Finding
from tasks.preflight.registry import Question, check

NEEDED = 2
"""A proof may log in while another session is still open; the clients have all the others."""
_SCARCE = {
    "role": "Raise the role's CONNECTION LIMIT, or let its clients keep fewer connections: it does not pass by itself",
    "database": "Raise the database's CONNECTION LIMIT, or let its clients keep fewer connections: it does not pass by "
    "itself",
    "server": "Close connections that nobody needs, or raise max_connections; a free one is waited for",
}


@check
def password_copies(question: Question) -> Iterator[Finding]:
    """Find what keeps a copy of the password: it fails once the password has changed, or its login is disabled."""
    if not question.works or question.credential.strategy is Strategy.RECREATE:
        return
    login, name = question.current, str(question.credential.endpoint)
    copies = _find_copies(question, login)
    if copies.found:
        is_blocking = question.credential.password_copies is PasswordCopies.BLOCK
        yield Finding(Refused(Code.PASSWORD_COPIED, name=name, seen="; ".join(copies.found)), is_blocking)
    if copies.hidden:
        yield Finding(Refused(Code.COPIES_HIDDEN, name=name, seen="; ".join(copies.hidden)), is_blocking=False)


def _find_copies(question: Question, login: Login) -> Copies:
    """Look in every database of the server, as the administrator if there is one, who sees more."""
    database, stays = question.access.database.accepting_md5, question.credential.strategy is not Strategy.ALTERNATING
    looker = question.administrator or login
    with database.connected(looker) as connection:
        names = list_databases(connection)
    copies = Copies()
    for name in names:
        try:
            with database.beside(name).connected(looker) as connection:
                copies += find_copies(connection, login, stays=stays)
        except KeyturnError:
            copies += Copies(hidden=(f"everything in the database {name}",))
    return copies


@check
def free_connections(question: Question) -> Iterator[Finding]:
    """Find limits that leave too few connections for the proofs, beside those that the clients keep."""
    if not question.works:
        return
    yield from _find_scarce(question, question.glimpse, NEEDED)
    if glimpse := question.administrators_glimpse:
        yield from _find_scarce(question, glimpse, 1)


def _find_scarce(question: Question, glimpse: Glimpse, needed: int) -> Iterator[Finding]:
    for slots in glimpse.slots:
        if slots.free < needed:
            yield Finding(_explain(question.access.database, slots, needed), is_blocking=slots.whose != "server")


def _explain(database: Database, slots: Slots, needed: int) -> Refused:
    seen = f"the {slots.whose} allows {slots.limit}, and others have {slots.used}; the rotation needs {needed}"
    return Refused(Code.CONNECTIONS_SCARCE, name=str(database), seen=seen, fix=_SCARCE[slots.whose])


@check
def password_encryption(question: Question) -> Iterator[Finding]:
    """Find a server that would keep the new password as md5, where the server itself makes the hash of it."""
    if not question.works or question.credential.strategy not in (Strategy.MANAGED, Strategy.RECREATE):
        return
    if question.glimpse.encryption == "md5":
        name = str(question.access.database)
        yield Finding(Refused(Code.MD5_PASSWORD, name=name, seen="password_encryption is md5"))
