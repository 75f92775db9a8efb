"""Logins as people ask for them: with what the vault holds, afresh, and what older versions come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect.logging import get_run_logger

from infra.azure.credentials import signed_in
from infra.azure.secrets import Secrets, SecretVersion
from infra.errors import LoginRefused, Unverified
from infra.postgres.login import Endpoint, Login, login, prove_login, wait_for_login
from infra.settings import Settings
from infra.targets import LoginOptions, LoginTarget
from tasks.connections import endpoint_of
from tasks.orders import logged_errors
from tasks.policy import step
from tasks.reporting import report_table


@dataclass(frozen=True)
class OlderLogin:
    """What the login of older versions came to.

    Args:
        username_version: the username's version.
        password_version: the password's version.
        outcome: "refused (28P01)", or why it could not be tried.
    """

    username_version: str
    password_version: str
    outcome: str


@step(name="Find the database", run_name="find the database by its {target.through}")
def find_endpoint(target: LoginTarget) -> Endpoint:
    """Return where the database is reached.

    Raises:
        NotFound: there is no such cluster or Service.
        WorkloadUnhealthy: the load balancer has no address.
    """
    return endpoint_of(target)


@step(name="Log in", run_name="log in to {endpoint} with the newest versions in {target.vault}")
def log_in(target: LoginTarget, options: LoginOptions, endpoint: Endpoint) -> Login:
    """Log in afresh with the newest versions and look around.

    Raises:
        LoginRefused: the database does not take them.
        SecretUnusable: the newest version of one is disabled.
        DatabaseStarting, DatabaseUnreachable: the database did not answer in time.
    """
    settings = Settings()
    with signed_in(settings):
        vault = Secrets(target.vault, settings)
        username, password = map(vault.read, target.secret_names)
    tell = logged_errors(str(endpoint))
    wait_for_login(endpoint, username, password, settings, options.timeout_seconds, tell)
    seen = login(endpoint, username, password, settings)
    get_run_logger().info(
        "logged in to PostgreSQL %s at %s, %d databases, TLS %s",
        seen.server_version,
        endpoint,
        len(seen.databases),
        seen.tls.protocol if seen.tls else "off",
    )
    return seen


@step(name="Try the older logins", run_name="try the older versions in {target.vault}: each must be refused")
def try_older_logins(target: LoginTarget, endpoint: Endpoint) -> list[OlderLogin]:
    """Try every older pair of versions that can be read; the newest pair of values is not among them.

    Raises:
        Unverified: one of them works (code OldLoginWorks).
    """
    settings = Settings()
    with signed_in(settings):
        vault = Secrets(target.vault, settings)
        usernames, passwords = (_by_age(vault, name) for name in target.secret_names)
        username, password = map(vault.read, target.secret_names)
        newest = (username, password)
        return [
            _try(vault, endpoint, newest, username, password)
            for username, password in zip(usernames[1:], passwords[1:], strict=False)
        ]


def _by_age(vault: Secrets, name: str) -> list[SecretVersion]:
    """Return all versions, the one in force first."""
    newest = vault.get_latest(name)
    return [newest, *(one for one in vault.list_versions(name) if one.version != newest.version)]


def _try(
    vault: Secrets, endpoint: Endpoint, newest: tuple[str, str], username: SecretVersion, password: SecretVersion
) -> OlderLogin:
    def came_to(outcome: str) -> OlderLogin:
        return OlderLogin(username.version, password.version, outcome)

    if not (username.enabled and password.enabled):
        return came_to("disabled: nobody can read it")
    values = vault.read(username.name, username.version), vault.read(password.name, password.version)
    if values == newest:
        return came_to("same values as the newest versions")
    try:
        prove_login(endpoint, *values, Settings())
    except LoginRefused as error:
        return came_to(f"refused ({error.code})")
    raise Unverified(
        "An older login still works",
        name=str(endpoint),
        seen=f"versions {username.version} and {password.version} were let in",
        fix="rotate, or find out why the database was not given the newest versions",
        code="OldLoginWorks",
    )


@step(name="Report the login", run_name="report what {endpoint} is and has")
def report_login(endpoint: Endpoint, seen: Login, older: Sequence[OlderLogin]) -> None:
    """Make the tables: the connection, the databases, the older logins."""
    report_table("login", [_connection(endpoint, seen)], f"Logged in afresh in {seen.took_seconds * 1000:.0f} ms.")
    report_table("databases", _databases(seen), f"Databases of `{endpoint.host}`, as psql's `\\l` lists them.")
    rows = [
        {"username version": one.username_version, "password version": one.password_version, "outcome": one.outcome}
        for one in older
    ]
    if rows:
        report_table("older-logins", rows, "What the logins of older versions come to.")


def _connection(endpoint: Endpoint, seen: Login) -> Mapping[str, str]:
    tls = seen.tls
    return {
        "database": str(endpoint),
        "server": f"PostgreSQL {seen.server_version}",
        "TLS": f"{tls.protocol}, {tls.cipher}, {tls.bits} bits" if tls else "off",
        "verified name": tls.verified_name if tls else "-",
        "issuer": tls.issuer if tls else "-",
        "certificate ends": f"{tls.expires_at:%Y-%m-%d %H:%M} UTC" if tls and tls.expires_at else "-",
    }


def _databases(seen: Login) -> list[dict[str, str]]:
    return [
        {
            "name": one.name,
            "owner": one.owner,
            "encoding": one.encoding,
            "collate": one.collate,
            "ctype": one.ctype,
            "access": one.access or "-",
        }
        for one in seen.databases
    ]
