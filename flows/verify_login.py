"""Verify a login: the vault's newest versions log in afresh, older ones are refused, the databases are listed."""

from dataclasses import dataclass
from typing import Any

from prefect import flow
from prefect.states import Completed

from flows.shell import run_from_shell
from infra.postgres.login import Login
from infra.targets import LoginOptions, LoginTarget
from tasks import login
from tasks.login import OlderLogin


@dataclass(frozen=True)
class Verified:
    """What a login proved.

    Args:
        login: what the database is and has.
        older: what the logins of older versions came to.
    """

    login: Login
    older: tuple[OlderLogin, ...]


@flow(name="verify login", flow_run_name="Verify the login through the {target.through}", persist_result=False)
def verify_login(
    target: LoginTarget = LoginTarget(),  # noqa: B008
    options: LoginOptions = LoginOptions(),  # noqa: B008
) -> Any:
    """Log in afresh with the vault's newest versions, list the databases, and see older logins refused.

    Changes nothing.

    Args:
        target: the database, and where its credential is kept.
        options: what the login must prove.
    """
    endpoint = login.find_endpoint(target)
    seen = login.log_in(target, options, endpoint)
    older = login.try_older_logins(target, endpoint) if options.check_older else []
    login.report_login(endpoint, seen, older)
    message = f"PostgreSQL {seen.server_version} at {endpoint}: {len(seen.databases)} databases"
    return Completed(name="Verified", message=message, data=Verified(seen, tuple(older)))


if __name__ == "__main__":
    run_from_shell(verify_login)
