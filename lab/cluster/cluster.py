"""One managed cluster in the lab's process: API server, controllers, node and CSI driver; a `RunningCluster`."""

import errno
import re
import secrets
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from lab.azure.backends import ClusterSpec, Origin, Proxies, Tenant
from lab.azure.routes import Address, Routes
from lab.cluster.api import ApiServer
from lab.cluster.api.security.entra import EntraUsers
from lab.cluster.argo_rollouts import Rollouts
from lab.cluster.client import CLUSTER_ROLE_BINDINGS, Client
from lab.cluster.control_plane import find_folder
from lab.cluster.controllers import Controllers
from lab.cluster.csi import SecretsStore
from lab.cluster.external_secrets import Operator
from lab.cluster.kubeconfigs import azure_user, exec_user, write_kubeconfig
from lab.cluster.node import Node
from lab.cluster.real_api import RealApi
from lab.cluster.webhook import workload_identity
from lab.control.certificates import Authority
from lab.control.faults import Faults
from lab.control.options import TENANT_ID, LabOptions
from lab.control.runtime import Runtime
from lab.errors import InvalidInput

DEFAULT_POLL_INTERVAL = "2m"
ADDRESS = "127.0.0.1"
"""Where the API server listens: the one address that every client's NO_PROXY understands."""
_RBAC, _ADMINISTRATORS = "rbac.authorization.k8s.io", "aks-cluster-admin-binding-aad"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True)
class ClusterPlace:
    """What the lab gives to its clusters.

    Args:
        options: the lab's options.
        authority: signs the API server's certificate.
        proxies: opens the proxies of pods.
        faults: the lab's faults.
        runtime: what containers are made of.
        routes: where the API server's name is made known.
        tenant: Entra ID and Azure RBAC.
    """

    options: LabOptions
    authority: Authority
    proxies: Proxies
    faults: Faults
    runtime: Runtime
    routes: Routes
    tenant: Tenant


def parse_go_duration(text: str) -> float:
    """Seconds of a Go duration, as "2m" or "1m30s".

    Raises:
        InvalidInput: it is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidInput("not a duration", name=text, fix="write it as 2m, 90s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class Cluster:
    """A cluster as ARM was asked for it; implements `lab.azure.backends.RunningCluster`.

    Args:
        spec: what it is to be.
        place: what it is made of.
    """

    def __init__(self, spec: ClusterSpec, place: ClusterPlace) -> None:
        self._spec, self._place = spec, place
        self._stack = AsyncExitStack()
        self._kubelet_token = secrets.token_urlsafe(24)
        self._entra = EntraUsers(place.tenant, spec.resource_id, spec.entra)
        self._api: ApiServer | RealApi | None = None
        self._client: Client | None = None
        self._node: Node | None = None
        self._store: SecretsStore | None = None

    async def start(self) -> None:
        """Start all parts; returns when the API answers and the node is ready."""
        try:
            await self._start_api()
            await self._start_parts()
        except BaseException:
            await self.stop()
            raise

    async def _start_api(self) -> None:
        first, last = self._place.options.ports
        for port in range(first, last + 1):
            api = self._make_api(port)
            try:
                await api.start()
            except OSError as error:
                await api.stop()
                if error.errno != errno.EADDRINUSE or port == last:
                    raise
            else:
                self._api = api
                self._place.routes.add(self._spec.fqdn, Address(ADDRESS, api.port))
                self._stack.callback(self._place.routes.remove, self._spec.fqdn)
                if isinstance(api, ApiServer):
                    self._place.faults.when_on("api-server-down", api.hang_up)
                    self._place.faults.when_on("watches-expired", api.expire_watches)
                self._stack.push_async_callback(api.stop)
                return

    def _make_api(self, port: int) -> ApiServer | RealApi:
        """The lab's own, or a real one where KEYTURN_LAB_KUBERNETES names one and the cluster has no Entra ID."""
        names = [ADDRESS, "kubernetes.default.svc", "kubernetes", *filter(None, [self._spec.fqdn])]
        folder = find_folder()
        if folder and self._spec.entra is None:
            state = self._place.options.state_dir / "control-planes" / secrets.token_hex(4)
            tenant_id = TENANT_ID if self._spec.workload_identity else ""
            return RealApi(folder, state, self._place.authority, names, port, self._spec.issuer_url, tenant_id)
        api = ApiServer(
            ADDRESS,
            port,
            self._place.authority.server_context(*names),
            self._place.authority.pem,
            self._spec.issuer_url,
            self._kubelet_token,
            self._place.faults,
            cluster_ips=f"{self._place.options.network}.100",
            entra=self._entra,
        )
        if self._spec.workload_identity:
            api.mutators.append(workload_identity(TENANT_ID))
        return api

    async def _start_parts(self) -> None:
        """Controllers, node and, where the add-on is on, the CSI driver: clients of the API and nothing else."""
        place, options = self._place, self._place.options
        token = self.api.token("masterclient", ["system:masters"])
        trust = ssl.create_default_context(cadata=place.authority.pem)
        client = self._client = await self._stack.enter_async_context(Client(self.api.url, trust, token))
        down = partial(place.faults.is_on, "database-down")
        is_real = isinstance(self.api, RealApi)
        controllers = Controllers(client, options.network, place.authority.pem, down, beside_manager=is_real)
        node = self._node = Node(
            client,
            options,
            place.proxies,
            place.faults,
            options.state_dir,
            options.network,
            "" if is_real else self._kubelet_token,
            place.authority.bundle_path,
            place.runtime,
            tls=place.authority.server_context(f"{options.network}.0.10") if is_real else None,
        )
        self._stack.push_async_callback(controllers.stop)
        self._stack.push_async_callback(self._stop_store)  # after the node, whose pods have mounts of it
        self._stack.push_async_callback(node.stop)
        await controllers.start()
        await node.start()
        proxy = await place.proxies.open(Origin("pod", address=f"{options.network}.0.11"))
        operator = Operator(client, proxy, place.authority.bundle_path, TENANT_ID)
        self._stack.push_async_callback(operator.stop)
        await operator.start()
        rollouts = Rollouts(client)
        self._stack.push_async_callback(rollouts.stop)
        await rollouts.start()
        await self._bind_administrators()
        await self._set_up_store()

    async def _bind_administrators(self) -> None:
        """Make the members of Entra ID's groups administrators, as AKS does."""
        if self._spec.entra is None:
            return
        assert self._client is not None, "it is started before"
        subjects = [{"apiGroup": _RBAC, "kind": "Group", "name": name} for name in self._spec.entra.admin_groups]
        role = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
        binding = {"metadata": {"name": _ADMINISTRATORS}, "roleRef": role, "subjects": subjects}
        await self._client.apply(
            CLUSTER_ROLE_BINDINGS, {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRoleBinding", **binding}, "aks"
        )

    async def _set_up_store(self) -> None:
        """Bring the CSI driver to what the add-on's config says."""
        config = self._spec.secrets_provider
        if config is None:
            await self._remove_store()
            return
        interval = self._place.options.poll_interval_seconds
        if interval is None:
            interval = parse_go_duration(config.get("rotationPollInterval") or DEFAULT_POLL_INTERVAL)
        rotates = config.get("enableSecretRotation") == "true"
        if self._store is not None:
            await self._store.configure(interval, rotates)
            return
        await self._add_store(interval, rotates)

    async def _add_store(self, interval: float, rotates: bool) -> None:
        place = self._place
        assert self._client is not None and self._node is not None, "they are started before"
        proxy = await place.proxies.open(Origin("pod", address=f"{place.options.network}.0.10"))
        self._store = SecretsStore(
            self._client, place.options.driver, interval, rotates, proxy, place.authority.bundle_path, place.faults
        )
        self._node.register_driver(self._store)
        await self._store.start()

    async def _remove_store(self) -> None:
        if self._store is not None and self._node is not None:
            self._node.unregister_driver(self._store.name)
            await self._stop_store()

    async def _stop_store(self) -> None:
        if self._store is not None:
            await self._store.stop()
            self._store = None

    @property
    def api(self) -> ApiServer | RealApi:
        """The API server of the started cluster."""
        if self._api is None:
            raise RuntimeError("the cluster has not been started")
        return self._api

    def kubeconfig(self, role: str) -> str:
        """The kubeconfig (YAML) that AKS hands out; see `RunningCluster`."""
        others = {"exec": exec_user, "azure": azure_user}
        user = others[role]() if role in others else self.api.local_account(role)
        return write_kubeconfig(self._spec, self._place.authority.pem, role, user)

    def openid_configuration(self) -> dict[str, Any]:
        """The document at ISSUER/.well-known/openid-configuration."""
        return self.api.openid_configuration()

    def jwks(self) -> dict[str, Any]:
        """The public keys that service account tokens are signed with, as a JWK set."""
        return self.api.jwks()

    async def update(self, spec: ClusterSpec) -> None:
        """Take over a changed spec (poll interval, rotation on or off)."""
        self._spec, self._entra.spec = spec, spec.entra
        await self._bind_administrators()
        await self._set_up_store()

    async def stop(self) -> None:
        """End all of its processes."""
        await self._stack.aclose()
