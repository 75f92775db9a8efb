"""The login of a credential, proven: the vault's newest versions work, and those of older versions do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect.logging import get_run_logger

from infra.azure.secrets import KeyVault
from infra.azure.versions import SecretVersion
from infra.credentials import Credential, Login, find_oddity
from infra.errors import Code, LoginRefused, Unverified
from infra.postgres.database import ServerReport
from tasks.context import Access, opened
from tasks.reports.artifacts import report_table
from tasks.reports.progress import log_errors
from tasks.retries import task_with_retries


@dataclass(frozen=True)
class OlderLogin:
    """The login of older versions, tried.

    Args:
        versions: secret -> version.
        outcome: "refused (28P01)", or why it could not be tried.
    """

    versions: Mapping[str, str]
    outcome: str


@task_with_retries(name="Log in", run_name="{credential.name}: log in with the newest versions")
def log_in(credential: Credential, timeout_seconds: int) -> ServerReport:
    """Log in with the newest versions and look around.

    Args:
        credential: the credential.
        timeout_seconds: bound on the wait for a database that is starting.

    Raises:
        LoginRefused: the database refuses them.
        SecretUnusable: the newest version of a secret is disabled.
        DatabaseStarting, DatabaseUnreachable: the database did not answer in time.
        NotFound: there is no such secret, cluster or Service.
        WorkloadUnhealthy: the load balancer has no address.
    """
    with opened(credential) as access:
        database, login = access.database, access.read_newest()
    try:
        database.wait_for(login, timeout_seconds, log_errors(database))
    except LoginRefused as error:
        raise _with_oddity(error, find_oddity(credential.secrets.render(login))) from None
    report = database.inspect(login)
    get_run_logger().info(
        "logged in to PostgreSQL %s at %s: %d databases, TLS %s",
        report.server_version,
        database,
        len(report.databases),
        report.tls.protocol if report.tls else "off",
    )
    return report


def _with_oddity(error: LoginRefused, oddity: str) -> LoginRefused:
    """Return a refusal that says what may be wrong with the values."""
    if not oddity:
        return error
    fix = "Write the value again without it, as a new version"
    return LoginRefused(error.what, name=error.name, seen=oddity, fix=fix, code=error.code)


@task_with_retries(name="Try older logins", run_name="{credential.name}: try the older versions, which must be refused")
def try_older_logins(credential: Credential) -> list[OlderLogin]:
    """Try every older version that can still be read, unless it has the values of the newest.

    Raises:
        Unverified: an older login works (code OldLoginWorks).
    """
    with opened(credential) as access:
        newest = access.read_newest()
        by_age = [_list_older(access.vault, name) for name in credential.secrets.names]
        return [_try(access, newest, versions) for versions in zip(*by_age, strict=False)]


def _list_older(vault: KeyVault, name: str) -> list[SecretVersion]:
    """Return a secret's versions without the newest, youngest first."""
    newest = vault.get_latest(name).version
    return [version for version in vault.list_versions(name) if version.version != newest]


def _try(access: Access, newest: Login, versions: Sequence[SecretVersion]) -> OlderLogin:
    tried = {version.name: version.version for version in versions}
    if not all(version.enabled for version in versions):
        return OlderLogin(tried, "disabled: nobody can read it")
    values = {version.name: access.vault.read(version.name, version.version) for version in versions}
    login = access.credential.secrets.parse(values)
    if login == newest:
        return OlderLogin(tried, "same values as the newest versions")
    try:
        access.database.prove(login)
    except LoginRefused as error:
        return OlderLogin(tried, f"refused ({error.code})")
    seen = " and ".join(f"version {version} of {name}" for name, version in tried.items())
    raise Unverified(Code.OLD_LOGIN_WORKS, name=str(access.database), seen=f"a login with {seen}")


@task_with_retries(name="Report the login", run_name="{credential.name}: report the login")
def report_login(credential: Credential, report: ServerReport, older: Sequence[OlderLogin]) -> None:
    """Make the tables: the connection, the databases, the older logins."""
    took = f"{credential.name} logged in within {report.took_seconds * 1000:.0f} ms."
    report_table("login", [_describe_connection(report)], took)
    databases = f"Databases of `{report.address.host}`, as psql's `\\l` lists them."
    report_table("databases", _describe_databases(report), databases)
    rows = [{**tried.versions, "outcome": tried.outcome} for tried in older]
    if rows:
        report_table("older-logins", rows, "The older versions of each secret, and what their login came to.")


def _describe_connection(report: ServerReport) -> Mapping[str, str]:
    tls = report.tls
    return {
        "database": str(report.address),
        "server": f"PostgreSQL {report.server_version}",
        "TLS": f"{tls.protocol}, {tls.cipher}, {tls.bits} bits" if tls else "off",
        "verified name": tls.verified_name if tls else "-",
        "issuer": tls.issuer if tls else "-",
        "certificate expires": f"{tls.expires_at:%Y-%m-%d %H:%M} UTC" if tls else "-",
    }


def _describe_databases(report: ServerReport) -> list[dict[str, str]]:
    return [
        {
            "name": database.name,
            "owner": database.owner,
            "encoding": database.encoding,
            "collate": database.collate,
            "ctype": database.ctype,
            "access": database.access or "-",
        }
        for database in report.databases
    ]
