"""Looking at everything that a rotation plans from. Values are compared and tried here, and stay here."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from prefect.logging import get_run_logger

from infra.azure.credentials import signed_in
from infra.azure.secrets import Secrets, SecretVersion
from infra.errors import DatabaseStarting, KeyturnError, LoginRefused, SecretUnusable
from infra.kubernetes.client import Cluster
from infra.kubernetes.provider_classes import ProviderClass, get_provider_class
from infra.kubernetes.restarts import get_restart_facts
from infra.kubernetes.secrets_store import find_synced_secret, get_driver, list_mounts, synced_secret_holds
from infra.kubernetes.workloads import get_workload
from infra.postgres.alternation import find_owner
from infra.postgres.connection import connected
from infra.postgres.login import Endpoint, prove_login
from infra.rotation.candidate import Credential
from infra.rotation.observation import (
    CandidateFacts,
    ConsumerFacts,
    Logins,
    LoginState,
    Observation,
    Pod,
    SecretFacts,
    Synced,
    Version,
)
from infra.settings import Settings
from infra.targets import Consumer, Strategy, Target
from tasks.connections import cluster_of, endpoint_of
from tasks.credentials import (
    find_candidate,
    find_mismatch,
    read_base,
    read_candidate,
    read_newest,
    synced_values,
    used_secrets,
)
from tasks.policy import step


@step(name="Observe", run_name="observe {target.vault} and {target.place}")
def observe(target: Target) -> Observation:
    """Look at vault, database and consumers.

    Returns:
        Names, version ids and states; no value.

    Raises:
        NotFound: the vault, a secret, the workload or its class does not exist.
        SecretUnusable: the candidate secret was not written by a rotation.
        Conflict: the SecretProviderClass does not bring the target's secrets to its consumers.
        AccessDenied, AuthenticationFailed, ServiceFailed: something may not, or cannot, be looked at.
    """
    settings = Settings()
    with signed_in(settings):
        seen = _look(target, settings)
    get_run_logger().info(
        "present login %s, candidate %s",
        seen.logins.current,
        seen.candidate.phase if seen.candidate else "absent",
    )
    for one in seen.consumers:
        get_run_logger().info("%s: %d replicas, its Secret holds %s", one.key, one.replicas, one.synced)
    return seen


def _look(target: Target, settings: Settings) -> Observation:
    vault = Secrets(target.vault, settings)
    username, password = (_secret_facts(vault, name) for name in (target.username_secret, target.password_secret))
    candidate = find_candidate(vault, target)
    cluster = cluster_of(target.resource_group, target.cluster, settings)
    driver = get_driver(cluster)
    newest = read_newest(vault, target) if username.newest.enabled and password.newest.enabled else None
    consumers = tuple(_consumer(cluster, target, one, newest) for one in target.consumers)
    logins = _try_logins(vault, target, cluster, newest, candidate, (username, password))
    return Observation(
        username,
        password,
        candidate[1] if candidate else None,
        logins,
        consumers,
        driver.generation,
        _count_others(target, cluster, newest) if logins.current is LoginState.WORKS else None,
    )


def _count_others(target: Target, cluster: Cluster, newest: Credential | None) -> int | None:
    """Count the logins that take turns with the present one, for the strategy that needs it."""
    if newest is None or target.strategy is not Strategy.ALTERNATING:
        return None
    with connected(endpoint_of(target, cluster), newest.username, newest.password, Settings()) as connection:
        owner = find_owner(connection, newest.username)
    return None if owner is None else len(owner.logins) - 1


def _secret_facts(vault: Secrets, name: str) -> SecretFacts:
    versions = vault.list_versions(name)
    newest = vault.pick_latest(name, versions) or vault.get_latest(name)
    older = tuple(_version(one) for one in versions if one.version != newest.version)
    return SecretFacts(name, _version(newest), older)


def _version(found: SecretVersion) -> Version:
    return Version.of(found.version, found.enabled, found.created_at, found.tags)


def _consumer(cluster: Cluster, target: Target, names: Consumer, newest: Credential | None) -> ConsumerFacts:
    namespace = names.namespace
    provider = get_provider_class(cluster, namespace, names.secret_provider_class)
    if mismatch := find_mismatch(target, names, provider):
        raise mismatch
    workload = get_workload(cluster, namespace, names.workload)
    remembered = get_restart_facts(cluster, namespace, names.workload)
    mounts = {one.pod_uid: one.versions for one in list_mounts(cluster, namespace, names.secret_provider_class)}
    pods = workload.pods
    return ConsumerFacts(
        names=names,
        uses=used_secrets(target, provider),
        synced=_synced(cluster, target, names, provider, newest),
        replicas=workload.replicas,
        pods=tuple(Pod(pod.name, pod.uid, pod.ready, mounts.get(pod.uid, {}), pod.started_at) for pod in pods),
        stopped_replicas=remembered.stopped_replicas,
        restarted_for=remembered.restarted_for,
        start_checked=not remembered.secret_version,
        keeps_data=workload.keeps_pgdata,
        settled=workload.settled,
        held_for=provider.held_for,
    )


def _synced(
    cluster: Cluster, target: Target, names: Consumer, provider: ProviderClass, newest: Credential | None
) -> Synced:
    if find_synced_secret(cluster, names.namespace, names.synced_secret) is None:
        return Synced.ABSENT
    if newest is None:
        return Synced.OTHER
    expected = synced_values(target, names, provider, newest)
    holds = synced_secret_holds(cluster, names.namespace, names.synced_secret, expected)
    return Synced.NEWEST if holds else Synced.OTHER


def _try_logins(
    vault: Secrets,
    target: Target,
    cluster: Cluster,
    newest: Credential | None,
    candidate: tuple[SecretVersion, CandidateFacts] | None,
    secrets: tuple[SecretFacts, SecretFacts],
) -> Logins:
    """Try every login that the vault knows, side by side."""
    try:
        endpoint = endpoint_of(target, cluster)
    except KeyturnError as error:
        return Logins(LoginState.UNREACHABLE, detail=str(error))
    tries: list[Credential | None] = [newest, None, None]
    if candidate and candidate[1].phase.is_live:
        tries[1] = read_candidate(vault, candidate[0])
        tries[2] = _read_or_none(lambda: read_base(vault, target, candidate[1]))
    with ThreadPoolExecutor(len(tries)) as pool:
        (current, detail), (staged, _), (base, _) = pool.map(lambda one: _try(endpoint, one), tries)
    if current is LoginState.REFUSED and candidate is None:
        base, _ = _try(endpoint, _read_or_none(lambda: _read_before(vault, secrets)))
    return Logins(current, staged, base, detail)


def _read_or_none(read: Callable[[], Credential | None]) -> Credential | None:
    try:
        return read()
    except SecretUnusable:
        return None


def _read_before(vault: Secrets, secrets: tuple[SecretFacts, SecretFacts]) -> Credential | None:
    """Read the enabled versions before the newest."""
    before = [secret.older_enabled[:1] or (secret.newest,) for secret in secrets]
    username, password = (vault.read(secret.name, one[0].version) for secret, one in zip(secrets, before, strict=True))
    return Credential(username, password)


def _try(endpoint: Endpoint, credential: Credential | None) -> tuple[LoginState, str]:
    if credential is None:
        return LoginState.UNTRIED, ""
    try:
        prove_login(endpoint, credential.username, credential.password, Settings())
    except LoginRefused as error:
        return LoginState.REFUSED, str(error)
    except DatabaseStarting as error:
        return LoginState.STARTING, str(error)
    except KeyturnError as error:
        return LoginState.UNREACHABLE, str(error)
    return LoginState.WORKS, ""
