"""The login of a credential, proven: the vault's newest versions work, and those of older versions do not."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product

from prefect.logging import get_run_logger

from infra.azure.versions import SecretVersion
from infra.credentials import Credential, Login
from infra.errors import Code, LoginRefused, NotFound, SecretUnusable, Unverified
from infra.postgres.database import ServerReport
from tasks.context import Access, opened
from tasks.reports.artifacts import report_table
from tasks.reports.progress import log_errors
from tasks.retries import task_with_retries
from tasks.rotation.staged import Candidate, find_candidate, read_candidate

_DISABLED = "disabled: nobody can read it"
_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class NewestLogin:
    """The login of the newest versions, tried.

    Args:
        server: what it saw of the server, or the login saw that an unfinished rotation has in force instead.
        unfinished: the rotation that is in the middle of its steps; empty if there is none.
        is_refused: whether the database refuses the newest versions, which that rotation explains.
    """

    server: ServerReport
    unfinished: str = ""
    is_refused: bool = False


@dataclass(frozen=True)
class OlderLogin:
    """The login of older versions, tried.

    Args:
        versions: secret -> version.
        outcome: "refused (28P01)", or why it could not be tried, or was not refused.
        unfinished: the rotation that explains why it is not refused.
    """

    versions: Mapping[str, str]
    outcome: str
    unfinished: str = ""


@task_with_retries(name="Log in", run_name="{credential.name}: log in with the newest versions")
def log_in(credential: Credential, timeout_seconds: int) -> NewestLogin:
    """Log in with the newest versions and look around.

    In the middle of a rotation the database may not have them yet, or have the candidate already.

    Args:
        credential: the credential.
        timeout_seconds: bound on the wait for a database that is starting.

    Raises:
        LoginRefused: the database refuses them, and no rotation explains it.
        SecretUnusable: the newest version of a secret is disabled.
        DatabaseStarting, DatabaseUnreachable: the database did not answer in time.
        NotFound: there is no such secret, cluster or Service.
        WorkloadUnhealthy: the load balancer has no address.
    """
    with opened(credential) as access:
        unfinished = _find_unfinished(access)
        database, layout = access.database.accepting_md5, credential.secrets
        values = access.read_newest_values()
        login = newest = layout.parse(values)
        try:
            database.wait_for(newest, timeout_seconds, log_errors(database))
        except LoginRefused as error:
            unfinished = _find_unfinished(access) or unfinished
            working = [login for login in _read_explained(access, unfinished) if database.takes(login)]
            if not working:
                raise _with_oddity(error, layout.find_oddity(values)) from None
            login = working[0]
        report = database.inspect(login)
    get_run_logger().info(
        "logged in to PostgreSQL %s at %s: %d databases, TLS %s",
        report.server_version,
        database,
        len(report.databases),
        report.tls.protocol if report.tls else "off",
    )
    return NewestLogin(report, unfinished[1].rotation_id if unfinished else "", login != newest)


def _find_unfinished(access: Access) -> Candidate | None:
    found = find_candidate(access.vault, access.credential)
    return found if found and found[1].phase.is_live else None


def _read_explained(access: Access, unfinished: Candidate | None) -> list[Login]:
    """Read the logins that may work in the middle of a rotation: its candidate, and the one before it.

    If it ends meanwhile they are gone, and the newest versions may be others than a moment ago.
    """
    readers = [access.read_newest]
    if unfinished:
        version, facts = unfinished
        readers.append(lambda: read_candidate(access.vault, version))
        readers.append(lambda: access.read_login(facts.base))
    logins = list[Login]()
    for read in readers:
        with suppress(NotFound, SecretUnusable):
            logins.append(read())
    return logins


def _with_oddity(error: LoginRefused, oddity: str) -> LoginRefused:
    """Return a refusal that says what may be wrong with the values."""
    if not oddity:
        return error
    fix = "Write the value again without it, as a new version"
    return LoginRefused(error.what, name=error.name, seen=oddity, fix=fix, code=error.code)


@task_with_retries(name="Try older logins", run_name="{credential.name}: try the older versions, which must be refused")
def try_older_logins(credential: Credential) -> list[OlderLogin]:
    """Try every older version that can still be read: with the others of its time, and with the newest ones.

    Versions are written one after the other, and a strategy that keeps the username writes no version of it. So an
    older password is tried with each username that was current while it was, and with the one that is now.

    Raises:
        Unverified: an older login works, and no rotation is in the middle of replacing it (code OldLoginWorks).
    """
    with opened(credential) as access:
        unfinished = _find_unfinished(access)
        histories = {name: access.vault.list_versions(name) for name in credential.secrets.names}
        newest = {name: access.vault.get_latest(name).version for name in histories}
        tried = {access.read_newest(): OlderLogin({}, "same values as the newest versions")}
        older = [_try(access, unfinished, versions, tried) for versions in _combine(histories, newest)]
    disabled = [
        OlderLogin({name: version.version}, _DISABLED)
        for name, versions in histories.items()
        for version in versions
        if version.version != newest[name] and not version.enabled
    ]
    return [*older, *disabled]


def _combine(
    histories: Mapping[str, Sequence[SecretVersion]], newest: Mapping[str, str]
) -> list[tuple[SecretVersion, ...]]:
    """Combine each older enabled version with the other secrets' enabled versions of its time, and their newest."""
    combined = dict[tuple[str, ...], tuple[SecretVersion, ...]]()
    for name, versions in histories.items():
        for older in versions:
            if older.version == newest[name] or not older.enabled:
                continue
            until = _find_end(older, versions)
            choices = [
                [older] if other == name else _choose(others, newest[other], older.created_at, until)
                for other, others in histories.items()
            ]
            for choice in product(*choices):
                combined.setdefault(tuple(version.version for version in choice), choice)
    return list(combined.values())


def _choose(versions: Sequence[SecretVersion], newest: str, since: datetime, until: datetime) -> list[SecretVersion]:
    """Return the newest version, and the enabled ones that were current between two times."""
    return [
        version
        for version in versions
        if version.version == newest
        or (version.enabled and version.created_at <= until and _find_end(version, versions) >= since)
    ]


def _find_end(version: SecretVersion, versions: Sequence[SecretVersion]) -> datetime:
    """Return when the next version took over; the vault counts whole seconds."""
    later = [other.created_at for other in versions if other.created_at > version.created_at]
    return min(later, default=_FOREVER)


def _try(
    access: Access,
    unfinished: Candidate | None,
    versions: Sequence[SecretVersion],
    tried: dict[Login, OlderLogin],
) -> OlderLogin:
    """Try the login of some versions, unless the same values were tried before."""
    named = {version.name: version.version for version in versions}
    try:
        values = {name: access.vault.read(name, version) for name, version in named.items()}
    except SecretUnusable:
        return OlderLogin(named, _DISABLED)
    login = access.credential.secrets.parse(values)
    if login not in tried:
        tried[login] = _log_in_again(access, unfinished, login, named)
    return replace(tried[login], versions=named)


def _log_in_again(access: Access, unfinished: Candidate | None, login: Login, named: Mapping[str, str]) -> OlderLogin:
    try:
        access.database.accepting_md5.prove(login)
    except LoginRefused as error:
        return OlderLogin(named, f"refused ({error.code})")
    unfinished = unfinished or _find_unfinished(access)
    if unfinished and login in _read_explained(access, unfinished):
        rotation_id = unfinished[1].rotation_id
        return OlderLogin(named, f"works: rotation {rotation_id} is unfinished", rotation_id)
    seen = " and ".join(f"version {version} of {name}" for name, version in named.items())
    raise Unverified(Code.OLD_LOGIN_WORKS, name=str(access.database), seen=f"a login with {seen}")


@task_with_retries(name="Report the login", run_name="{credential.name}: report the login")
def report_login(credential: Credential, report: ServerReport, older: Sequence[OlderLogin]) -> None:
    """Make the tables: the connection, the databases, the older logins."""
    took = f"{credential.name} logged in within {report.took_seconds * 1000:.0f} ms."
    report_table("login", [_describe_connection(report)], took)
    databases = f"Databases of `{report.address.host}`, as psql's `\\l` lists them."
    report_table("databases", _describe_databases(report), databases)
    names = credential.secrets.names
    rows = [{**{name: tried.versions.get(name, "-") for name in names}, "outcome": tried.outcome} for tried in older]
    if rows:
        report_table("older-logins", rows, "The older versions that were tried together, and how their login ended.")


def _describe_connection(report: ServerReport) -> Mapping[str, str]:
    tls = report.tls
    return {
        "database": str(report.address),
        "server": f"PostgreSQL {report.server_version}",
        "TLS": f"{tls.protocol}, {tls.cipher}, {tls.bits} bits" if tls else "off",
        "verified name": (tls.verified_name if tls else "") or "-",
        "issuer": (tls.issuer if tls else "") or "-",
        "certificate expires": f"{tls.expires_at:%Y-%m-%d %H:%M} UTC" if tls and tls.expires_at else "-",
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
