"""Observing everything that a rotation is planned from. Values are compared and tried here, and stay here."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace

from prefect.logging import get_run_logger

from infra.azure.secrets import KeyVault
from infra.azure.versions import SecretVersion
from infra.credentials import Consumer, Credential, FlexibleServerEndpoint, Login, in_cluster
from infra.errors import (
    AccessDenied,
    Code,
    Conflict,
    DatabaseStarting,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    SecretUnusable,
)
from infra.kubernetes.deliveries import DeliveryFacts, SecretState, open_delivery
from infra.kubernetes.workloads import open_workload
from infra.postgres.database import Database
from infra.postgres.owner_role import find_owner_role
from infra.provisioning.resources import DatabaseServer
from infra.rotation.observation import (
    ConsumerFacts,
    Logins,
    LoginState,
    Observation,
    Pod,
    SecretFacts,
    Synced,
    Version,
)
from infra.rotation.strategies import STRATEGIES
from tasks.context import Access, opened
from tasks.retries import task_with_retries
from tasks.rotation.staged import Candidate, find_candidate, is_candidate_absent, read_candidate

SYNCED = {
    SecretState.NONE: Synced.NONE,
    SecretState.ABSENT: Synced.ABSENT,
    SecretState.CURRENT: Synced.NEWEST,
    SecretState.OTHER: Synced.OTHER,
}


@task_with_retries(name="Observe", run_name="{credential.name}: observe vault, consumers and database")
def observe(credential: Credential) -> Observation:
    """Look at vault, consumers and database. Returns and raises what `look_at_everything` does."""
    with opened(credential) as access:
        return look_at_everything(access)


def look_at_everything(access: Access) -> Observation:
    """Look at a credential's vault, consumers and database.

    Returns:
        Names, version ids and states; no value.

    Raises:
        NotFound: the vault, a secret, a workload or its delivery does not exist.
        SecretUnusable: the candidate secret was not written by a rotation.
        Conflict: a delivery does not bring the credential's secrets to its consumer.
        AccessDenied, AuthenticationFailed, ServiceFailed: something may not, or cannot, be looked at.
    """
    seen = _observe(access)
    phase = seen.candidate.phase if seen.candidate else "absent"
    get_run_logger().info("current login %s, candidate %s", seen.logins.current, phase)
    for facts in seen.consumers:
        get_run_logger().info("%s: %d replicas, its Secret holds %s", facts.workload, facts.replicas, facts.synced)
    return seen


def _observe(access: Access) -> Observation:
    vault, credential = access.vault, access.credential
    secrets = tuple(_secret(vault, name) for name in credential.secret_names)
    candidate = None if is_candidate_absent(vault, credential) else find_candidate(vault, credential)
    newest = _read(access, secrets) if all(secret.newest.enabled for secret in secrets) else None
    consumers = tuple(_consumer(access, consumer, newest) for consumer in credential.consumers)
    current = credential.secrets.parse(newest) if newest else None
    logins = _try_logins(access, current, candidate, secrets)
    if newest and logins.current is LoginState.REFUSED:
        logins = replace(logins, oddity=credential.secrets.find_oddity(newest))
    alternates = _count_alternates(access, current) if current and logins.current is LoginState.WORKS else None
    username = current.username if current else ""
    return Observation(secrets, candidate[1] if candidate else None, logins, consumers, alternates, username)


def _secret(vault: KeyVault, name: str) -> SecretFacts:
    newest, *older = (_version(found) for found in vault.list_all(name))
    return SecretFacts(name, newest, tuple(older))


def _read(access: Access, secrets: tuple[SecretFacts, ...]) -> dict[str, str]:
    """Read the newest versions that were observed."""
    return {secret.name: access.vault.read(secret.name, secret.newest.version) for secret in secrets}


def _version(found: SecretVersion) -> Version:
    return Version.of(found.version, found.enabled, found.created_at, found.tags)


@contextmanager
def cluster_named(consumer: Consumer) -> Iterator[None]:
    """Let the errors of a block name the cluster of a consumer that is not in the credential's own."""
    try:
        yield
    except KeyturnError as error:
        if consumer.cluster and str(consumer.cluster) not in error.name:
            error.name = in_cluster(error.name, consumer.cluster)
        raise


def _consumer(access: Access, consumer: Consumer, newest: Mapping[str, str] | None) -> ConsumerFacts:
    with cluster_named(consumer):
        return _look_at(access, consumer, newest)


def _look_at(access: Access, consumer: Consumer, newest: Mapping[str, str] | None) -> ConsumerFacts:
    credential, names = access.credential, access.credential.secret_names
    delivery = open_delivery(access.cluster_of(consumer), consumer)
    wanted = {*credential.secrets.names, *delivery.uses(names)}
    if mismatch := delivery.find_mismatch(credential.vault, wanted):
        raise mismatch
    workload = open_workload(access.cluster_of(consumer), consumer.placed).get()
    delivered = delivery.observe(names, newest)
    check_encodings(credential, consumer, delivered)
    return ConsumerFacts(
        consumer=consumer,
        uses=delivered.uses,
        synced=SYNCED[delivered.secret],
        replicas=workload.replicas,
        pods=tuple(
            Pod(pod.name, pod.uid, pod.ready, delivered.versions.get(pod.uid, {}), pod.started_at)
            for pod in workload.pods
        ),
        stopped_replicas=workload.restart.stopped_replicas,
        restarted_for=workload.restart.restarted_for,
        start_checked=not workload.restart.secret_version,
        keeps_data=workload.keeps_pgdata,
        settled=workload.settled,
        pinned_for=delivered.pinned_for,
        pinned=delivered.pinned,
        unmounted=delivered.unmounted,
    )


def check_encodings(credential: Credential, consumer: Consumer, delivered: DeliveryFacts) -> None:
    """See that what a delivery decodes is kept encoded: else a new value would keep its pods from starting.

    Raises:
        Conflict: the credential does not say so.
    """
    layout = credential.secrets
    for name, encoding in delivered.decoded.items():
        if name in layout.names and layout.encodings.get(name) is not encoding:
            fix = f"write `encodings: {{{name}: {encoding}}}` in the credential's `secrets`, or correct the class"
            seen = f"it decodes {name} (objectEncoding: {encoding}), and the credential's `secrets` do not say so"
            raise Conflict(Code.PROVIDER_CLASS_MISMATCH, name=consumer.source_key, seen=seen, fix=fix)


def _count_alternates(access: Access, current: Login) -> int | None:
    """Count the logins that take turns with the current one, for the strategy that needs it."""
    if not STRATEGIES[access.credential.strategy].needs_alternates:
        return None
    with access.database.accepting_md5.connected(current) as connection:
        owner = find_owner_role(connection, current.username)
    return None if owner is None else len(owner.logins) - 1


def _try_logins(
    access: Access, newest: Login | None, candidate: Candidate | None, secrets: tuple[SecretFacts, ...]
) -> Logins:
    """Try every login that the vault knows, side by side."""
    try:
        database = access.database
    except AccessDenied:
        raise
    except KeyturnError as error:
        return Logins(LoginState.UNREACHABLE, error=error)
    existing = database.accepting_md5
    tries: list[tuple[Database, Login | None]] = [(existing, newest), (database, None), (existing, None)]
    if candidate and candidate[1].phase.is_live:
        tries[1] = database, read_candidate(access.vault, candidate[0])
        tries[2] = existing, _read_or_none(lambda: access.read_login(candidate[1].base))
    with ThreadPoolExecutor(len(tries)) as pool:
        (current, failure), (staged, _), (base, _) = pool.map(lambda each: _try(*each), tries)
    failure = _explain_private(access, failure)
    if current is LoginState.REFUSED and candidate is None:
        base, _ = _try(existing, _read_or_none(lambda: _read_before(access, secrets)))
    return Logins(current, staged, base, failure)


def _explain_private(access: Access, error: KeyturnError | None) -> KeyturnError | None:
    """Return the error of a Flexible Server that does not answer as what it is if the server has private access."""
    endpoint = access.credential.endpoint
    if not isinstance(endpoint, FlexibleServerEndpoint) or not isinstance(error, DatabaseUnreachable):
        return error
    from infra.azure.servers import DatabaseServers  # its part of the SDK takes 50 ms, and few runs need it

    with suppress(KeyturnError):
        servers = DatabaseServers(access.azure, endpoint.resource_group)
        found = servers.find(DatabaseServer(name=endpoint.server))
        if found and isinstance(found.resource, DatabaseServer) and not found.resource.public_access:
            return DatabaseUnreachable(Code.PRIVATE_SERVER, name=error.name, seen=error.seen)
    return error


def _read_or_none(read: Callable[[], Login]) -> Login | None:
    try:
        return read()
    except SecretUnusable:
        return None


def _read_before(access: Access, secrets: tuple[SecretFacts, ...]) -> Login:
    """Read the enabled versions before the newest."""
    before = {secret.name: (secret.older_enabled[:1] or (secret.newest,))[0].version for secret in secrets}
    return access.read_login(before)


def _try(database: Database, login: Login | None) -> tuple[LoginState, KeyturnError | None]:
    if login is None:
        return LoginState.NOT_TRIED, None
    try:
        database.prove(login)
    except LoginRefused as error:
        return LoginState.REFUSED, error
    except DatabaseStarting as error:
        return LoginState.STARTING, error
    except KeyturnError as error:
        return LoginState.UNREACHABLE, error
    return LoginState.WORKS, None
