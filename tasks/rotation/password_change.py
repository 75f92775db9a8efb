"""The steps of a rotation that give a login another password, by itself or by an administrator (in-place)."""

from collections.abc import Callable
from datetime import timedelta

from prefect.logging import get_run_logger

from infra.credentials import Login
from infra.errors import LoginRefused
from infra.postgres import login_parts
from infra.postgres.database import RoleChange, alter_password
from infra.rotation.steps import Action
from tasks.context import Access
from tasks.rotation.logins import admin_session, has_already, patient
from tasks.rotation.registry import StepContext, opened_for, performs
from tasks.rotation.staged import read_both, read_restorable
from tasks.rotation.validity import find_valid_for

SET_PASSWORD = RoleChange(
    "The database does not let the administrator set the login's password",
    "give the credential an administrator that may: with CREATEROLE, and from PostgreSQL 16 on with ADMIN OPTION on "
    "the login; or none, if the login may set its own password",
)


def rehearse_change(context: StepContext, access: Access, current: Login) -> None:
    """Let the current login or the administrator set the password in a transaction that is rolled back.

    Raises:
        Refused: the database does not let it; nothing was changed.
        LoginRefused: it refuses the login that would set it.
    """
    _set_password(context, access, current, current.password, is_rehearsal=True)


@performs(Action.SET_PASSWORD, retries=0)
def set_password(context: StepContext) -> bool:
    """Set the candidate's password, once the previous one has logged in, and log in with it.

    Returns whether it was changed.

    Raises:
        LoginRefused: the database refuses both, or the new one all the same.
        Refused: it does not let the password be changed.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        if has_already(patient(context, access), new):
            return False
        _change_password(context, access, previous, new, lambda: find_valid_for(access, previous, context.rotation_id))
        patient(context, access).prove(new)
        return True


@performs(Action.RESTORE_PASSWORD, retries=0)
def restore_password(context: StepContext) -> bool:
    """Set the previous password, once the candidate has logged in. Returns whether it was changed.

    Raises:
        LoginRefused: the database refuses both.
        SecretUnusable: the previous version is disabled.
    """
    with opened_for(context) as access:
        new, previous = read_restorable(access, context.rotation_id)
        if has_already(patient(context, access).accepting_md5, previous):
            return False
        _change_password(context, access, new, previous)
        return True


def _set_password(
    context: StepContext,
    access: Access,
    current: Login,
    password: str,
    valid_for: timedelta | None = None,
    *,
    is_rehearsal: bool = False,
) -> None:
    """Set a login's password, by the credential's administrator if it names one, else by the login itself."""
    if access.credential.administrator is not None:
        with admin_session(context, access, SET_PASSWORD, current, is_rehearsal=is_rehearsal) as connection:
            alter_password(connection, Login(current.username, password))
            if valid_for is not None:
                login_parts.extend_validity(connection, current.username, valid_for)
    elif is_rehearsal:
        access.database.accepting_md5.rehearse_own_password(current)
    else:
        patient(context, access).accepting_md5.set_own_password(current, password, valid_for)


def _change_password(
    context: StepContext,
    access: Access,
    current: Login,
    wanted: Login,
    find_length: Callable[[], timedelta | None] = lambda: None,
) -> None:
    """Change the password from one that works to the other."""
    database = patient(context, access).accepting_md5
    try:
        database.prove(current)
    except LoginRefused as error:
        raise LoginRefused(
            "The database refuses both the previous and the new password",
            name=str(database),
            seen="somebody else changed the login, or the database was initialised with other values",
            fix="set the login's password in the database to the newest version's; then run again",
            code=error.code,
        ) from None
    _set_password(context, access, current, wanted.password, find_length())
    get_run_logger().info("%s has the password; no statement contained it", database)
