"""The API server: what it is made of, its start and stop, and the credentials it hands out."""

import asyncio
import base64
import ssl
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import yaml
from aiohttp import web

from lab.cluster.api.bootstrap import start_objects
from lab.cluster.api.errors import expired
from lab.cluster.api.housekeeping.namespaces import NamespaceCollector
from lab.cluster.api.housekeeping.owners import OwnerCollector
from lab.cluster.api.housekeeping.worker import Housekeeper
from lab.cluster.api.kinds.builtin import registry
from lab.cluster.api.kinds.crds import CustomKinds
from lab.cluster.api.kinds.services import Allocator
from lab.cluster.api.objects import Clock, utc_now
from lab.cluster.api.rest.admission import Admission, PodMutator
from lab.cluster.api.rest.deletion import Deleter
from lab.cluster.api.rest.writes import Writer
from lab.cluster.api.routes.accounts import AccountTokens
from lab.cluster.api.routes.app import BODY_LIMIT_BYTES, Rooms
from lab.cluster.api.routes.documents import Documents
from lab.cluster.api.routes.pods import PodParts
from lab.cluster.api.routes.resources import Resources
from lab.cluster.api.routes.reviews import Reviews
from lab.cluster.api.routes.scale import Scales
from lab.cluster.api.routes.streams import Streams
from lab.cluster.api.routes.subresources import Part, Subresources
from lab.cluster.api.routes.watches import Watches
from lab.cluster.api.security.authentication import Authenticator
from lab.cluster.api.security.entra import EntraUsers
from lab.cluster.api.security.rbac import Authorizer
from lab.cluster.api.security.tokens import ServiceAccountTokens, UserTokens
from lab.cluster.api.security.users import MASTERS
from lab.cluster.api.store import Store
from lab.cluster.api.watch import QUEUE_LENGTH, WatchHub

_TOKEN_LIFETIME = timedelta(days=730)
_GOODBYE_SECONDS = 0.2
_USERS = {"admin": "masterclient", "user": "clusterUser"}


class ApiServer:
    """A Kubernetes API server in this process.

    Args:
        host: address to listen on.
        port: port to listen on, 0 for any free one.
        tls: certificate that it shows.
        ca_pem: what clients check that certificate with.
        issuer_url: the OIDC issuer of service account tokens.
        kubelet_token: bearer token for the nodes' endpoints.
        faults: asked before every request; gives aiohttp middlewares as `.middleware` and `.outage`.
        cluster_ips: first three bytes of the services' addresses.
        watch_queue_length: how many changes may wait for a watcher before its connection is cut.
        entra: the principals of Entra ID, for a managed cluster.
        now: the clock.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        ca_pem: str,
        issuer_url: str,
        kubelet_token: str,
        faults: Any = None,
        *,
        cluster_ips: str = "127.77.100",
        watch_queue_length: int = QUEUE_LENGTH,
        entra: EntraUsers | None = None,
        now: Clock = utc_now,
    ) -> None:
        self._host, self._port, self._tls, self._ca_pem = host, port, tls, ca_pem
        self._faults, self._entra = faults, entra
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self.store = Store()
        self.registry = registry()
        self._users = UserTokens(now)
        self._accounts = ServiceAccountTokens(issuer_url, now)
        self._admission = Admission(self.store, self.registry, Allocator(cluster_ips))
        self._writer = Writer(self.store, self._admission, now)
        self._deleter = Deleter(self.store, self._admission, now)
        self._hub = WatchHub(self.store, watch_queue_length)
        owners = OwnerCollector(self.store, self._writer, self._deleter)
        self._namespaces = NamespaceCollector(self.store, self.registry, self._writer, self._deleter)
        self._housekeeper = Housekeeper(self.store, (owners.handle, self._namespaces.handle))
        self._streams = Streams(self.store, self.registry, kubelet_token)
        self._custom = CustomKinds(self.store, self.registry)

    @property
    def watchers(self) -> int:
        """How many watches are open."""
        return len(self._hub)

    @property
    def mutators(self) -> list[PodMutator]:
        """Further mutations of new pods, in order; append to it before pods are made."""
        return self._admission.mutators

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        return self._port

    @property
    def url(self) -> str:
        """Where it answers, once started."""
        return f"https://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen; the cluster has its namespaces, roles and the service kubernetes then."""
        start_objects(self._writer, self.registry)
        self._housekeeper.start()
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        if self._faults is not None:
            app.middlewares.extend((self._faults.outage("api-server-down"), self._faults.middleware))
        app.router.add_route("*", "/{path:.*}", self._rooms().answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        if self._runner.server is None:
            raise RuntimeError("aiohttp has made no server")
        # aiohttp's own sites wait half a minute for TLS to say goodbye to clients that have left a watch.
        self._listener = await asyncio.get_running_loop().create_server(
            self._runner.server,
            self._host,
            self._port,
            ssl=self._tls,
            ssl_shutdown_timeout=_GOODBYE_SECONDS,
            backlog=1024,
        )
        self._port = self._listener.sockets[0].getsockname()[1]

    def _rooms(self) -> Rooms:
        resources = Resources(self.store, self._writer, self._deleter)
        authenticator = Authenticator(self._users, self._accounts, self.store, self.registry, self._entra)
        authorizer = Authorizer(self.store, self.registry, self._entra)
        return Rooms(
            registry=self.registry,
            authenticator=authenticator,
            authorizer=authorizer,
            documents=Documents(self.registry, self._accounts),
            resources=resources,
            reviews=Reviews(authenticator, authorizer),
            subresources=Subresources(self.registry, resources, self._parts()),
            watches=Watches(self.store, self._hub),
        )

    def _parts(self) -> dict[str, Part]:
        pods = PodParts(self.store, self._writer, self._deleter)
        return {
            "scale": Scales(self.store, self._writer).answer,
            "token": AccountTokens(self.store, self.registry, self._accounts).answer,
            "eviction": pods.evict,
            "binding": pods.bind,
            "log": self._streams.log,
            "exec": self._streams.connect,
            "attach": self._streams.connect,
            "portforward": self._streams.connect,
        }

    async def stop(self) -> None:
        """End all watches and connections."""
        await self._housekeeper.stop()
        self._namespaces.stop()
        self._hub.close_all()
        await self._streams.close()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def expire_watches(self) -> None:
        """Forget the log and end every watch with 410 Gone, as a compaction does."""
        self.store.compact()
        self._hub.close_all(expired("The resourceVersion for the provided watch is too old."))

    def hang_up(self) -> None:
        """End every watch without a word, as a restart does."""
        self._hub.close_all()

    def token(self, user: str, groups: Sequence[str], lifetime: timedelta = _TOKEN_LIFETIME) -> str:
        """A token for a person.

        Args:
            lifetime: how long it is good; none or less makes a token that has expired.
        """
        return self._users.issue(user, groups, lifetime)

    def local_account(self, role: str) -> dict[str, Any]:
        """The user of a kubeconfig who is one of AKS's local accounts: role "admin" or "user"."""
        return {"token": self.token(_USERS[role], [MASTERS])}

    def kubeconfig(self, role: str) -> str:
        """A kubeconfig (YAML) for the server alone: role "admin" or "user"."""
        user = _USERS[role]
        certificate = base64.b64encode(self._ca_pem.encode()).decode()
        cluster = {"server": self.url, "certificate-authority-data": certificate}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": user, "user": self.local_account(role)}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
            "current-context": "lab",
        }
        return str(yaml.safe_dump(config, sort_keys=False))

    def jwks(self) -> dict[str, Any]:
        """The public keys that service account tokens are signed with, as a JWK set."""
        return self._accounts.jwks()

    def openid_configuration(self) -> dict[str, Any]:
        """The document at ISSUER/.well-known/openid-configuration."""
        return self._accounts.openid_configuration()
