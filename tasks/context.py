"""What tasks work with: a credential's vault, cluster and database, opened when they are used, under one sign-in.

Connections hold secrets, so none is a parameter or a result of a task. Tasks that run in a `connections_shared` block
use those of the tasks before them, for as long as the block lasts:

    with opened(credential) as access:
        access.database.prove(access.read_newest())
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property

from infra.azure.client import Azure
from infra.azure.names import get_host
from infra.azure.secrets import KeyVault
from infra.azure.versions import VersionMemory
from infra.credentials import (
    ClusterIpEndpoint,
    ClusterRef,
    Consumer,
    Credential,
    Endpoint,
    FlexibleServerEndpoint,
    HostEndpoint,
    LoadBalancerEndpoint,
    Login,
    SignIn,
)
from infra.errors import Code, DatabaseUnreachable
from infra.kubernetes.client import Cluster, connect_to
from infra.kubernetes.kubeconfig import find_own_context, load_kubeconfig, verify_issuer, verify_server
from infra.kubernetes.services import get_cluster_address, get_load_balancer
from infra.postgres.addresses import Address, Tls, has_route
from infra.postgres.database import Database
from infra.settings import Settings

POSTGRES_PORT = 5432


@dataclass
class _Shared:
    """What the tasks of a block share: one sign-in to Azure, and one connection to each cluster."""

    azure: Azure
    clusters: dict[ClusterRef, Cluster] = field(default_factory=dict)


_shared: ContextVar[_Shared | None] = ContextVar("shared connections", default=None)
"""What the enclosing `connections_shared` opened; tasks inherit their flow's context."""


_memory: ContextVar[VersionMemory | None] = ContextVar("memory of versions", default=None)
"""What the enclosing `versions_remembered` knows of the vault's versions."""


@dataclass(frozen=True)
class Access:
    """A credential's vault, cluster and database, opened for one task.

    Args:
        credential: whose they are.
        azure: the sign-in that it is opened under.
        settings: bounds and routes.
    """

    credential: Credential
    azure: Azure
    settings: Settings
    _others: dict[ClusterRef, Cluster] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def vault(self) -> KeyVault:
        """The vault. What a run knows of its versions is shared by the run's tasks, and values by none of them."""
        return self.azure.vault(self.credential.vault, self.memory)

    @cached_property
    def memory(self) -> VersionMemory:
        """What the run knows of the vault's versions; nothing yet where tasks do not share it."""
        return _memory.get() or VersionMemory()

    @cached_property
    def cluster(self) -> Cluster:
        """The credential's own cluster: of its lock and its Services.

        Who needs only a Flexible Server may have no rights in it, so it is opened on first use.

        Raises:
            NotFound: the kubeconfig or the cluster does not exist.
            AccessDenied: AKS gives the caller no credential.
            InvalidInput: the kubeconfig's context, or the pod's own cluster, is not the credential's cluster.
            AuthenticationFailed: the sign-in gives no credential.
        """
        return open_cluster(self.credential.cluster, self.azure)

    def cluster_of(self, consumer: Consumer) -> Cluster:
        """The cluster that a consumer runs in. Raises as `cluster`."""
        return self.cluster_at(consumer.cluster or self.credential.cluster)

    def cluster_at(self, reference: ClusterRef) -> Cluster:
        """One of the credential's clusters. Raises as `cluster`."""
        if reference == self.credential.cluster:
            return self.cluster
        if reference not in self._others:
            self._others[reference] = open_cluster(reference, self.azure)
        return self._others[reference]

    @cached_property
    def database(self) -> Database:
        """The database, where it is reached now.

        Raises:
            NotFound: there is no such Service.
            WorkloadUnhealthy: the load balancer has no address.
            DatabaseUnreachable: the Service is reached from inside the cluster alone.
        """
        credential = self.credential
        pooler = find_address(self, credential.pooler) if credential.pooler else None
        return Database(find_address(self, credential.endpoint), self.settings, pooler=pooler)

    @property
    def clients_address(self) -> Address:
        """Where clients reach the database: the pooler in front of it, if there is one. Raises as `database`."""
        return find_address(self, self.credential.pooler or self.credential.endpoint)

    def read_newest(self) -> Login:
        """Read the login of the newest versions from the vault."""
        layout = self.credential.secrets
        return layout.parse(self._read_newest(layout.names)[0])

    def read_login(self, versions: Mapping[str, str]) -> Login:
        """Read the login of some versions from the vault.

        Args:
            versions: secret -> version, of all that hold the login.
        """
        layout = self.credential.secrets
        return layout.parse({name: self.vault.read(name, versions[name]) for name in layout.names})

    def read_newest_values(self) -> dict[str, str]:
        """Read the newest versions from the vault: secret -> value."""
        return self.read_newest_with_versions()[0]

    def read_newest_with_versions(self) -> tuple[dict[str, str], dict[str, str]]:
        """Read the newest versions from the vault: secret -> value, and secret -> version."""
        return self._read_newest(self.credential.secret_names)

    def _read_newest(self, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        versions = {name: self.vault.get_latest(name).version for name in names}
        return {name: self.vault.read(name, version) for name, version in versions.items()}, versions

    @cached_property
    def administrator(self) -> Login | None:
        """The login that may create roles, if the credential names one, read once a task."""
        layout = self.credential.administrator
        return layout.parse({name: self.vault.read(name) for name in layout.names}) if layout else None


@contextmanager
def opened(credential: Credential) -> Iterator[Access]:
    """Open a credential's vault for a block, and its cluster once it is used, under one sign-in."""
    with opened_azure() as azure:
        yield Access(credential, azure, azure.settings)


@contextmanager
def opened_azure() -> Iterator[Azure]:
    """Sign in to Azure for a block, or use the sign-in that the enclosing block shares."""
    if shared := _shared.get():
        yield shared.azure
        return
    with Azure(Settings()) as azure:
        yield azure


@contextmanager
def connections_shared() -> Iterator[None]:
    """Let the tasks of a block share one sign-in and one connection to each cluster, or those of the block around it.

    Each sign-in, each request for AKS's credential and each TLS handshake takes longer than the work of most tasks.
    """
    if _shared.get() is not None:
        yield
        return
    with Azure(Settings()) as azure:
        shared = _Shared(azure)
        mark = _shared.set(shared)
        try:
            yield
        finally:
            _shared.reset(mark)
            for cluster in shared.clusters.values():
                cluster.close()


@contextmanager
def versions_remembered() -> Iterator[None]:
    """Let the tasks of a block list the versions of each secret once.

    Only for a block in which nobody else of Keyturn writes them, as under a credential's lock.
    """
    mark = _memory.set(VersionMemory())
    try:
        yield
    finally:
        _memory.reset(mark)


def open_cluster(reference: ClusterRef, azure: Azure | None = None) -> Cluster:
    """Connect to a cluster, or use the connection that the block shares.

    Args:
        reference: the cluster, by name.
        azure: the sign-in that AKS gives its credential to; one of its own, or the block's, by default.

    Raises:
        NotFound: the kubeconfig or the cluster does not exist.
        AccessDenied: AKS gives the caller no credential.
        InvalidInput: the kubeconfig's context, or the pod's own cluster, is not the credential's cluster.
        AuthenticationFailed: the sign-in gives no credential.
    """
    if azure is None:
        with opened_azure() as opened_here:
            return open_cluster(reference, opened_here)
    shared = _shared.get()
    if shared is None:
        return _connect(reference, azure)
    if reference not in shared.clusters:
        shared.clusters[reference] = _connect(reference, azure)
    return shared.clusters[reference]


def _connect(reference: ClusterRef, azure: Azure) -> Cluster:
    settings, name = azure.settings, reference.name or ""
    if reference.sign_in is SignIn.IN_CLUSTER:
        context, endpoints = find_own_context(), azure.find_endpoints(reference)
        verify_issuer(context, name, endpoints.issuer if endpoints else None)
    elif settings.kubeconfig is not None:
        context = load_kubeconfig(settings.kubeconfig).choose(name, settings.kube_context)
        endpoints = azure.find_endpoints(reference)
        verify_server(context, name, endpoints.hosts if endpoints else None)
    else:
        context = load_kubeconfig(azure.get_kubeconfig(reference)).get()
    return connect_to(context, settings, azure.get_token)


def find_address(access: Access, endpoint: Endpoint) -> Address:
    """Return where a database, or the pooler in front of it, is reached.

    A Flexible Server by its name over verified TLS, whether its access is public or private; a host as it is given; a
    Service by its load balancer, or by its address inside the cluster.

    Raises:
        NotFound: there is no such Service, or it has no such port.
        WorkloadUnhealthy: the load balancer has no address.
        DatabaseUnreachable: the Service is reached from inside the cluster alone, and Keyturn runs outside.
    """
    database = access.credential.database
    match endpoint:
        case FlexibleServerEndpoint():
            return Address(
                get_host(endpoint.server, access.settings.azure_cloud), POSTGRES_PORT, database, Tls.VERIFY_FULL
            )
        case HostEndpoint():
            return Address(endpoint.host, endpoint.port, database, endpoint.tls, endpoint.ca_file)
        case ClusterIpEndpoint():
            return _find_inside(access, endpoint)
        case LoadBalancerEndpoint():
            host, port = get_load_balancer(access.cluster, endpoint.namespace, endpoint.service, endpoint.port)
            return Address(host, port, database, endpoint.tls, endpoint.ca_file)


def _find_inside(access: Access, endpoint: ClusterIpEndpoint) -> Address:
    """Return the address inside the cluster, for a worker in it; or a route to it, where KEYTURN_RESOLVE has one."""
    ip, port = get_cluster_address(access.cluster, endpoint.namespace, endpoint.service, endpoint.port)
    is_inside = access.credential.cluster.sign_in is SignIn.IN_CLUSTER
    if not is_inside and not has_route(endpoint.host, port, access.settings):
        seen = f"{endpoint.host}:{port} has an address inside the cluster alone, and Keyturn runs outside"
        raise DatabaseUnreachable(Code.INSIDE_ONLY, name=str(endpoint), seen=seen)
    return Address(endpoint.host, port, access.credential.database, endpoint.tls, endpoint.ca_file, ip)
