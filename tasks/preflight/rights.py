"""The rights that a rotation needs in the cluster, the vault and Azure: asked for, or tried without effect.

In the cluster, access reviews say what the caller may do, object by object; then the very writes of the steps are made
with `dryRun=All`, which also asks admission policies. In the vault, a version that does not exist is changed and a
secret that does not exist is deleted: Key Vault answers "not found" to whoever may, and "forbidden" to others. That the
caller may write a new version is proven by the first write, which stages the candidate before anything else changes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from infra.azure.names import SERVER_TYPE
from infra.azure.permissions import has_permission
from infra.credentials import (
    ClusterIpEndpoint,
    ClusterRef,
    Consumer,
    Credential,
    ExternalSecretDelivery,
    FlexibleServerEndpoint,
    LoadBalancerEndpoint,
    Strategy,
    WorkloadKind,
    in_cluster,
)
from infra.errors import AccessDenied, Code, InvalidInput, KeyturnError, NotFound, Refused
from infra.kubernetes.access import Rehearsal, Right, find_missing, get_subject, rehearsing
from infra.kubernetes.autoscalers import AUTOSCALERS
from infra.kubernetes.client import Cluster
from infra.kubernetes.deliveries import open_delivery
from infra.kubernetes.deliveries.operator_objects import GROUP
from infra.kubernetes.deliveries.provider_classes import API, path_of
from infra.kubernetes.discovery import LISTED
from infra.kubernetes.errors import DENIED
from infra.kubernetes.workloads import open_workload
from infra.rotation.preflight import Finding, refuse
from infra.rotation.strategies import STRATEGIES
from tasks.context import Access, opened
from tasks.preflight.registry import Question, check
from tasks.rotation.lock import lease_name

CONSUMERS, PINS, EXTERNAL_SECRETS, RELOADS, STATEFUL_SETS, ENDPOINT, LOCK, DISCOVERY = (
    f"keyturn-{name}"
    for name in (
        *("consumers", "pins", "external-secrets", "reloads", "stateful-sets"),
        *("endpoint", "lock", "discovery"),
    )
)
"""The ClusterRoles of manifests/keyturn/roles.yaml."""
NO_VERSION, NO_SECRET = "0" * 32, "keyturn-preflight"
"""What no vault has."""
MARK = "preflight"
SERVER_WRITE = f"{SERVER_TYPE}/write"
NO_DRY_RUN = "does not support dry run"
"""What the API server says of an admission webhook that has side effects."""


@dataclass(frozen=True)
class Need:
    """A right that a rotation needs.

    Args:
        right: what, and where.
        role: the ClusterRole that gives it.
    """

    right: Right
    role: str


@check
def rights_in_cluster(question: Question) -> Iterator[Finding]:
    """Ask for every right; if none is missing, make the steps' writes without effect."""
    missing = tuple(find_missing_roles(question.access))
    yield from missing
    if missing:
        return
    for consumer in question.credential.consumers:
        rehearsal = rehearsing(question.access.cluster_of(consumer))
        for write in _list_writes(rehearsal, question, consumer):
            if finding := rehearse(write, consumer.key):
                yield finding


@check
def rights_in_vault(question: Question) -> Iterator[Finding]:
    """Change and delete what does not exist."""
    vault, password = question.access.vault, question.credential.secrets.names[-1]
    attempts: tuple[Callable[[], None], ...] = (
        lambda: vault.set_enabled(password, NO_VERSION, True),
        lambda: vault.delete(NO_SECRET),
    )
    for attempt in attempts:
        try:
            attempt()
        except NotFound:
            continue
        except AccessDenied as error:
            yield Finding(error)


@check
def rights_on_server(question: Question) -> Iterator[Finding]:
    """Ask Azure whether the caller may change a server's administrator."""
    credential, endpoint = question.credential, question.credential.endpoint
    if credential.strategy is not Strategy.MANAGED or not isinstance(endpoint, FlexibleServerEndpoint):
        return
    try:
        server = (endpoint.resource_group, SERVER_TYPE, endpoint.server)
        is_allowed = has_permission(question.access.azure, *server, SERVER_WRITE)
    except AccessDenied as error:
        yield Finding(error, is_blocking=False)
        return
    if not is_allowed:
        fix = f"Assign the role Contributor on the server {endpoint.server}; a new assignment takes some minutes"
        what = "The caller may not change the server's administrator"
        yield Finding(AccessDenied(what, name=endpoint.server, seen=f"no permission {SERVER_WRITE}", fix=fix))


@contextmanager
def denials_explained(credential: Credential) -> Iterator[None]:
    """If the cluster denies something in a block, raise what else it would deny, and the roles that are missing."""
    try:
        yield
    except AccessDenied as error:
        refusal = None
        with suppress(KeyturnError), opened(credential) as access:
            missing = tuple(find_missing_roles(access)) if error.what == DENIED else ()
            refusal = refuse(missing, credential.name)
        raise refusal or error from None


def list_needs(cluster: Cluster, credential: Credential, place: ClusterRef | None = None) -> Iterator[Need]:
    """List the rights that every rotation of a credential needs in one of its clusters, by default its own."""
    place = place or credential.cluster
    if place == credential.cluster:
        yield from _list_own_needs(credential)
    for namespace in credential.namespaces_in(place):
        for path in LISTED:
            yield Need(Right.to("list", path.format(f"namespaces/{namespace}/")), DISCOVERY)
    for consumer in credential.by_cluster[place]:
        yield from _list_needs_of(cluster, credential, consumer)


def _list_own_needs(credential: Credential) -> Iterator[Need]:
    """List the rights for the lock and the Services, which are in the credential's own cluster alone."""
    lock = f"/apis/coordination.k8s.io/v1/namespaces/{credential.lock_namespace}/leases"
    yield Need(Right.to("create", lock), LOCK)
    for verb in ("get", "update"):
        yield Need(Right.to(verb, f"{lock}/{lease_name(credential)}"), LOCK)
    for endpoint in filter(None, (credential.endpoint, credential.pooler)):
        if isinstance(endpoint, LoadBalancerEndpoint | ClusterIpEndpoint):
            base = f"/api/v1/namespaces/{endpoint.namespace}"
            yield Need(Right.to("get", f"{base}/services/{endpoint.service}"), ENDPOINT)
            yield Need(Right.to("list", f"{base}/events"), ENDPOINT)


def _pins(credential: Credential) -> bool:
    return credential.strategy is Strategy.ALTERNATING and credential.needs_pins


def _list_needs_of(cluster: Cluster, credential: Credential, consumer: Consumer) -> Iterator[Need]:
    strategy, namespace = credential.strategy, consumer.workload.namespace
    core, workload = f"/api/v1/namespaces/{namespace}", open_workload(cluster, consumer.workload)
    is_restarted = STRATEGIES[strategy].restarts(consumer)
    reads, is_refreshed = ("get", "list", "watch"), is_restarted or consumer.is_database or consumer.runs_to_an_end
    rows: tuple[tuple[str, tuple[str, ...], str], ...] = (
        (workload.path, _verbs_on(consumer, is_restarted=is_restarted), CONSUMERS),
        (workload.makers.format(namespace=namespace), ("list",) if workload.makers else (), CONSUMERS),
        (f"{core}/pods", ("list", "watch"), CONSUMERS),
        (f"{core}/events", ("list",), CONSUMERS),
        (
            AUTOSCALERS.format(namespace=namespace),
            ("list",) if is_restarted and consumer.is_database else (),
            CONSUMERS,
        ),
    )
    writes = (*reads, "patch") if is_refreshed else reads
    for delivery in consumer.every_delivery:
        if isinstance(delivery, ExternalSecretDelivery):
            external = f"/apis/{GROUP}/v1/namespaces/{namespace}/{delivery.source.replace('/', 's/')}"
            pins = strategy is Strategy.ALTERNATING
            rows += (
                (external, writes if not pins else (*reads, "patch"), EXTERNAL_SECRETS),
                (f"/apis/{GROUP}/v1/namespaces/{namespace}/secretstores", ("get",), EXTERNAL_SECRETS),
                (f"{core}/secrets/{delivery.secret_name}", reads, CONSUMERS),
            )
            continue
        provider_class = path_of(namespace, delivery.source)
        rows += ((f"{core}/secrets/{delivery.secret_name}", writes if delivery.secret_name else (), CONSUMERS),)
        rows += (
            (provider_class, ("get",), CONSUMERS),
            (f"{API}/namespaces/{namespace}/secretproviderclasspodstatuses", ("list", "watch"), CONSUMERS),
            (provider_class, ("patch",) if _pins(credential) else (), PINS),
        )
    for path, verbs, role in rows:
        for verb in verbs:
            yield Need(Right.to(verb, path), role)
    for verb in ("get", "create") if consumer.reload else ():
        yield Need(Right(verb, "pods/exec", namespace), RELOADS)
    loses_login = strategy is not Strategy.ALTERNATING
    if is_restarted and loses_login and consumer.workload.kind is WorkloadKind.STATEFUL_SET:
        yield Need(Right("delete", "pods", namespace), STATEFUL_SETS)


def _verbs_on(consumer: Consumer, *, is_restarted: bool) -> tuple[str, ...]:
    """List what is done to a workload itself; a run is not waited for."""
    reads = ("get",) if consumer.runs_to_an_end else ("get", "list", "watch")
    return (*reads, "patch") if is_restarted or consumer.reload else reads


def find_missing_roles(access: Access) -> Iterator[Finding]:
    """Yield a finding for each role that is missing in a namespace of one of the credential's clusters."""
    for place in access.credential.by_cluster:
        yield from _find_missing_in(access, place)


def _find_missing_in(access: Access, place: ClusterRef) -> Iterator[Finding]:
    cluster, other_place = access.cluster_at(place), place if place != access.credential.cluster else None
    needs, command = list(list_needs(cluster, access.credential, place)), "kubectl"
    if other_place:
        command += f" --context {other_place.name}"
    missing = set(find_missing(cluster, [need.right for need in needs]))
    by_role = defaultdict[tuple[str, str], dict[Right, None]](dict)
    for need in needs:
        if need.right in missing:
            by_role[need.right.namespace, need.role][need.right] = None
    subject = get_subject(cluster) if missing else ""
    for (namespace, role), rights in by_role.items():
        seen = f"not allowed: {', '.join(map(str, rights))}"
        fix = f"{command} create rolebinding {role} --clusterrole={role} {subject} -n {namespace}"
        fix += "; the role is in manifests/keyturn/roles.yaml"
        yield Finding(
            AccessDenied(
                Code.RIGHTS_MISSING, name=in_cluster(f"the namespace {namespace}", other_place), seen=seen, fix=fix
            )
        )


def _list_writes(rehearsal: Rehearsal, question: Question, consumer: Consumer) -> Iterator[Callable[[], object]]:
    """List what the steps write for a consumer. The values are no login's, so that a fresh Secret counts as stale."""
    credential, facts = question.credential, question.observation
    workload, delivery = open_workload(rehearsal, consumer.placed), open_delivery(rehearsal, consumer)
    is_restarted = STRATEGIES[credential.strategy].restarts(consumer)
    if is_restarted and consumer.is_database:
        yield workload.stop
        yield lambda: workload.start(MARK)
    elif is_restarted:
        yield lambda: workload.restart(MARK)
    elif consumer.reload:
        yield lambda: workload.mark_reloaded(MARK)
    if is_restarted or consumer.is_database or consumer.runs_to_an_end:
        yield lambda: delivery.refresh(dict.fromkeys(credential.secret_names, MARK))
    if _pins(credential):
        yield lambda: delivery.pin(facts.newest_versions, MARK)


def rehearse(write: Callable[[], object], name: str) -> Finding | None:
    """Make a write without effect. What the cluster says against it blocks, unless it cannot tell without effect."""
    try:
        write()
    except (AccessDenied, InvalidInput) as error:
        cannot_tell = NO_DRY_RUN in error.seen
        code = Code.CHANGE_UNTRIED if cannot_tell else Code.CHANGE_DENIED
        return Finding(Refused(code, name=name, seen=error.seen), is_blocking=not cannot_tell)
    return None
