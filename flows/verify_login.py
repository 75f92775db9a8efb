"""Verify a login: the vault's newest versions log in, older ones are refused, the databases are listed."""

from dataclasses import dataclass
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.cli import run_from_shell
from flows.parameters import CredentialName
from infra.postgres.database import ServerReport
from tasks import login
from tasks.context import connections_shared
from tasks.inventory import get_credential
from tasks.login import OlderLogin
from tasks.reports.endings import end, ends_with_own_errors


@dataclass(frozen=True)
class Verified:
    """What a login proved.

    Args:
        server: what it saw of the server.
        older: the logins of older versions.
        unfinished: the rotation that is in the middle of its steps; empty if there is none.
    """

    server: ServerReport
    older: tuple[OlderLogin, ...]
    unfinished: str = ""


@flow(name="verify login", flow_run_name="{credential}: verify the login", persist_result=False)
@ends_with_own_errors
def verify_login(
    credential: CredentialName,
    check_older: bool = True,
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 60,
) -> Any:
    """Log in with the vault's newest versions, list the databases, and prove that older logins are refused.

    It changes nothing. In the middle of a rotation another login than that of the newest versions may work, or two:
    then it says so and does not fail.

    Args:
        credential: the credential's name in the inventory.
        check_older: also try the login of every older version that can still be read; each must be refused.
        timeout_seconds: bound on the wait for a database that is starting.
    """
    found = get_credential(credential)
    with connections_shared():
        newest = login.log_in(found, timeout_seconds)
        report = newest.server
        older = login.try_older_logins(found) if check_older else []
        login.report_login(found, report, older)
    message = f"PostgreSQL {report.server_version} at {report.address}, {len(report.databases)} databases."
    unfinished = next(filter(None, (newest.unfinished, *(tried.unfinished for tried in older))), "")
    data = Verified(report, tuple(older), unfinished)
    if not unfinished:
        return end("verified", credential, message, data=data)
    state = "are not in force now" if newest.is_refused else "log in"
    told = f"Rotation {unfinished}: the newest versions {state}. If nobody runs it, run the flow rotate."
    return end("unfinished-rotation", credential, f"{told} {message}", data=data)


if __name__ == "__main__":
    run_from_shell(verify_login)
