"""Verify a login: the vault's newest versions log in, older ones are refused, the databases are listed."""

from dataclasses import dataclass
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.cli import run_from_shell
from infra.postgres.database import ServerReport
from tasks import login
from tasks.context import connections_shared, get_credential
from tasks.login import OlderLogin
from tasks.reports.endings import end, ends_with_own_errors


@dataclass(frozen=True)
class Verified:
    """What a login proved.

    Args:
        server: what it saw of the server.
        older: the logins of older versions.
    """

    server: ServerReport
    older: tuple[OlderLogin, ...]


@flow(name="verify login", flow_run_name="{credential}: verify the login", persist_result=False)
@ends_with_own_errors
def verify_login(
    credential: str,
    check_older: bool = True,
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 60,
) -> Any:
    """Log in with the vault's newest versions, list the databases, and prove that older logins are refused.

    It changes nothing.

    Args:
        credential: the credential's name in the inventory.
        check_older: also try the login of every older version that can still be read; each must be refused.
        timeout_seconds: bound on the wait for a database that is starting.
    """
    found = get_credential(credential)
    with connections_shared():
        report = login.log_in(found, timeout_seconds)
        older = login.try_older_logins(found) if check_older else []
        login.report_login(found, report, older)
    message = f"PostgreSQL {report.server_version} at {report.address}, {len(report.databases)} databases."
    return end("verified", credential, message, data=Verified(report, tuple(older)))


if __name__ == "__main__":
    run_from_shell(verify_login)
