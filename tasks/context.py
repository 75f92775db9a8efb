"""What tasks work with: a credential's vault, cluster and database, opened when they are used, under one sign-in.

Connections hold secrets, so none is a parameter or a result of a task. Tasks that run in a `connections_shared` block
use those of the tasks before them, for as long as the block lasts:

    with opened(credential) as access:
        access.database.prove(access.read_newest())
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property

from infra.azure.clusters import get_kubeconfig
from infra.azure.credentials import signed_in
from infra.azure.secrets import Secrets
from infra.azure.servers import get_host
from infra.credentials import ClusterRef, Credential, FlexibleServerEndpoint, Login, load_inventory
from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.load_balancers import get_load_balancer
from infra.postgres.addresses import Address, Tls
from infra.postgres.database import Database
from infra.settings import Settings

POSTGRES_PORT = 5432

_shared: ContextVar[dict[ClusterRef, Cluster] | None] = ContextVar("shared connections", default=None)
"""What the enclosing `connections_shared` opened; tasks inherit their flow's context."""


def get_credential(name: str) -> Credential:
    """Return a credential of the inventory.

    Raises:
        NotFound: there is no such credential, or no inventory.
        InvalidInput: the inventory cannot be used.
    """
    return load_inventory(Settings().credentials).get(name)


@dataclass(frozen=True)
class Access:
    """A credential's vault, cluster and database, opened for one task.

    Args:
        credential: whose they are.
        vault: its vault.
        settings: bounds and routes.
    """

    credential: Credential
    vault: Secrets
    settings: Settings

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster. Who needs only a Flexible Server may have no rights in it, so it is opened on first use.

        Raises:
            NotFound: the kubeconfig or the cluster does not exist.
            AccessDenied: AKS gives the caller no credential.
        """
        return open_cluster(self.credential.cluster)

    @cached_property
    def database(self) -> Database:
        """The database, where it is reached now.

        Raises:
            NotFound: there is no such Service.
            WorkloadUnhealthy: the load balancer has no address.
        """
        return Database(find_address(self), self.settings)

    def read_newest(self) -> Login:
        """Read the newest versions from the vault."""
        layout = self.credential.secrets
        return layout.parse({name: self.vault.read(name) for name in layout.names})

    def read_administrator(self) -> Login | None:
        """Read the login that may create roles, if the credential names one."""
        layout = self.credential.administrator
        return layout.parse({name: self.vault.read(name) for name in layout.names}) if layout else None


@contextmanager
def opened(credential: Credential) -> Iterator[Access]:
    """Open a credential's vault for a block, and its cluster once it is used, under one sign-in."""
    settings = Settings()
    with signed_in(settings):
        yield Access(credential, Secrets(credential.vault, settings), settings)


@contextmanager
def connections_shared() -> Iterator[None]:
    """Let the tasks of a block share one sign-in to Azure and one connection to each cluster.

    Each sign-in, each request for AKS's credential and each TLS handshake takes longer than the work of most tasks.
    """
    shared: dict[ClusterRef, Cluster] = {}
    with signed_in(Settings()):
        mark = _shared.set(shared)
        try:
            yield
        finally:
            _shared.reset(mark)
            for cluster in shared.values():
                cluster.close()


def open_cluster(reference: ClusterRef) -> Cluster:
    """Connect to a cluster, or use the connection that the block shares.

    Raises:
        NotFound: the kubeconfig or the cluster does not exist.
        AccessDenied: AKS gives the caller no credential.
    """
    shared = _shared.get()
    if shared is None:
        return _connect(reference, Settings())
    if reference not in shared:
        shared[reference] = _connect(reference, Settings())
    return shared[reference]


def _connect(reference: ClusterRef, settings: Settings) -> Cluster:
    if settings.kubeconfig is not None:
        return connect(settings.kubeconfig, settings, settings.kube_context)
    return connect(get_kubeconfig(reference.resource_group, reference.name, settings), settings)


def find_address(access: Access) -> Address:
    """Return where a credential's database is reached.

    The Flexible Server by its name over verified TLS, the database in the cluster by its load balancer: the postgres
    image has no TLS.
    """
    endpoint, database = access.credential.endpoint, access.credential.database
    if isinstance(endpoint, FlexibleServerEndpoint):
        return Address(get_host(endpoint.server), POSTGRES_PORT, database, Tls.VERIFY_FULL)
    host, port = get_load_balancer(access.cluster, endpoint.namespace, endpoint.service)
    return Address(host, port, database, Tls.DISABLE)
