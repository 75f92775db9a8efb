"""Azure, opened for a block: one sign-in and its connections, shared by all calls that are handed it.

with Azure(Settings()) as azure:
    azure.vault("orders-vault").read("password")
    azure.get_kubeconfig(ClusterRef(name="orders", resource_group="orders-rg"))
    Machines(azure, "orders-rg").get("reader")
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import DefaultAzureCredential

from infra.azure.arm import C
from infra.azure.clouds import CLOUDS
from infra.azure.clusters import ClusterEndpoints, ManagedClusters
from infra.azure.errors import translated
from infra.azure.models import lock_models
from infra.azure.secrets import KeyVault
from infra.azure.transport import make_transport
from infra.azure.versions import VersionMemory
from infra.credentials import ClusterRef
from infra.errors import AccessDenied, InvalidInput
from infra.settings import AzureCloud, Settings

POLL_SECONDS = 5
"""Between two looks at a long-running operation, where Azure does not say how long."""


@dataclass(frozen=True)
class Caller:
    """The principal that an access token names.

    Args:
        tenant_id: the tenant that issued it.
        object_id: the principal's object id, which roles are assigned to.
        kind: "User" or "ServicePrincipal", as role assignments call it.
    """

    tenant_id: str
    object_id: str
    kind: str


class Azure:
    """One sign-in: its tokens, and the connections of the clients that are made with it.

    A token costs several requests, and so does a TLS session. It may be used by several threads.

    Args:
        settings: subscription and timeouts.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.cloud = settings, CLOUDS[settings.azure_cloud]
        # None leaves the public cloud's authority to AZURE_AUTHORITY_HOST.
        authority = None if settings.azure_cloud is AzureCloud.PUBLIC else self.cloud.authority
        self._credential = DefaultAzureCredential(
            authority=authority,
            exclude_interactive_browser_credential=True,
            exclude_broker_credential=True,
            exclude_visual_studio_code_credential=True,
            transport=make_transport(**self._timeouts),
        )
        # By thread, since a session of requests belongs to one.
        self._connections: dict[int, RequestsTransport] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()
        self._credential.close()

    @property
    def credential(self) -> TokenCredential:
        """The non-interactive credential that the environment gives.

        See https://learn.microsoft.com/python/api/azure-identity/azure.identity.defaultazurecredential
        """
        return self._credential

    def client_options(self) -> dict[str, Any]:
        """Return what a client is made with: bounds, and a transport that leaves its connections to the next client."""
        thread = threading.get_ident()
        if thread not in self._connections:
            self._connections[thread] = make_transport(**self._timeouts)
        connection = self._connections[thread]
        connection.open()
        transport = RequestsTransport(session=connection.session, session_owner=False, **self._timeouts)
        return self._timeouts | {"transport": transport}

    @contextmanager
    def management(self, open_client: Callable[..., C]) -> Iterator[C]:
        """Open a management client for a block, by its class or a function that makes one.

        Raises:
            InvalidInput: no subscription is set.
        """
        if not self.settings.subscription_id:
            raise InvalidInput(
                "No subscription is given",
                name="AZURE_SUBSCRIPTION_ID",
                fix="Set AZURE_SUBSCRIPTION_ID or KEYTURN_SUBSCRIPTION_ID where the flow runs",
            )
        client = open_client(
            self._credential,
            self.settings.subscription_id,
            base_url=self.cloud.management,
            credential_scopes=[self.cloud.management_scope],
            polling_interval=POLL_SECONDS,
            **self.client_options(),
        )
        lock_models(type(client).__module__.rpartition(".")[0])
        try:
            yield client
        finally:
            client.close()

    def resource_id(self, group: str, resource_type: str, name: str) -> str:
        """Return the id of a resource; `resource_type` is like "Microsoft.KeyVault/vaults"."""
        return f"/subscriptions/{self.settings.subscription_id}/resourceGroups/{group}/providers/{resource_type}/{name}"

    def get_caller(self) -> Caller:
        """Return the principal of the ARM token: object id and tenant are looked up, never typed.

        Raises:
            AuthenticationFailed: no credential is found, or Entra ID refuses it.
        """
        token, _ = self.get_token(self.cloud.management_scope)
        claims = _read_claims(token)
        is_user = claims.get("idtyp", "user" if "scp" in claims else "app") == "user"
        return Caller(
            tenant_id=str(claims.get("tid", "")),
            object_id=str(claims.get("oid", "")),
            kind="User" if is_user else "ServicePrincipal",
        )

    def vault(self, name: str, memory: VersionMemory | None = None) -> KeyVault:
        """Return the secrets of a vault, for one task of a run that remembers their versions if there is a memory."""
        return KeyVault(self, name, memory)

    def get_kubeconfig(self, cluster: ClusterRef) -> Mapping[str, Any]:
        """Return the kubeconfig of a cluster's user credential. It holds a token: it stays inside the calling task.

        Raises:
            NotFound: there is no such cluster, or it gives out no credential.
            AccessDenied: the caller lacks the Azure Kubernetes Service Cluster User Role.
        """
        group, name = cluster.in_azure
        return ManagedClusters(self, group).get_kubeconfig(name)

    def find_endpoints(self, cluster: ClusterRef) -> ClusterEndpoints | None:
        """Return where a cluster answers and who issues its service account tokens; None if Azure does not tell.

        It does not where the caller has no subscription or may not read the cluster, or where there is none.

        Raises:
            KeyturnError: Azure does not answer, or not to this caller.
        """
        if cluster.name is None or not self.settings.subscription_id:
            return None
        group, name = cluster.in_azure
        try:
            return ManagedClusters(self, group).find_endpoints(name)
        except AccessDenied:
            return None

    def get_token(self, scope: str) -> tuple[str, float]:
        """Return a token of this sign-in for a scope, and when it expires, in Unix seconds.

        Raises:
            AuthenticationFailed: no credential is found, or Entra ID refuses it.
        """
        with translated("Cannot get a token", name=scope):
            token = self._credential.get_token(scope)
        return token.token, float(token.expires_on)

    @property
    def _timeouts(self) -> dict[str, Any]:
        return {
            "connection_timeout": self.settings.connect_timeout_seconds,
            "read_timeout": self.settings.request_timeout_seconds,
        }


def _read_claims(token: str) -> dict[str, Any]:
    """Read a token's claims without checking its signature: it is ours, straight from Entra ID."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
