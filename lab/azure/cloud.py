"""The local Azure of one lab: every service, wired together behind the gateway."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.azure import entra, forwarding, graph
from lab.azure.access import Access
from lab.azure.arm import Arm
from lab.azure.backends import Backends
from lab.azure.blobs.guard import Guard as BlobGuard
from lab.azure.blobs.http import BlobService
from lab.azure.blobs.store import StorageStore
from lab.azure.cluster_access import ClusterAccess
from lab.azure.directory import Directory
from lab.azure.entra import Entra
from lab.azure.federation import Federation
from lab.azure.gateway import Gateway
from lab.azure.graph import Graph
from lab.azure.imds import Imds
from lab.azure.issuers import DOMAIN as ISSUER_DOMAIN
from lab.azure.issuers import Issuer, Issuers
from lab.azure.key_vault.guard import Guard as VaultGuard
from lab.azure.key_vault.http import KeyVault
from lab.azure.key_vault.limits import Limits
from lab.azure.key_vault.policies import Policies
from lab.azure.key_vault.store import VaultStore
from lab.azure.requests import Requests
from lab.azure.routes import IMDS_HOST, Routes
from lab.azure.served import SERVICE, operations_of
from lab.azure.sites import create_runner
from lab.azure.tokens import LIFETIME, Tokens
from lab.control.certificates import Authority
from lab.control.faults import Faults
from lab.control.options import OPERATOR_CLIENT_ID, SUBSCRIPTION_ID, TENANT_ID, LabOptions

ARM_HOST = "management.azure.com"
VAULT_DOMAIN = "vault.azure.net"
BLOB_DOMAIN = "blob.core.windows.net"
CLUSTER_DOMAIN = "azmk8s.io"
"""Names below it are added to the routes by the clusters that have them."""
SHORT_LIFETIME = timedelta(seconds=5)
"""Of a token while the switch for it is on."""


@dataclass(frozen=True)
class _GivenIssuer:
    """An issuer that was named by `set_issuer`."""

    configuration: Callable[[], dict[str, Any]]
    keys: Callable[[], dict[str, Any]]

    def openid_configuration(self) -> dict[str, Any]:
        return self.configuration()

    def jwks(self) -> dict[str, Any]:
        return self.keys()


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


class AzureCloud:
    """An empty subscription whose owner is the operator.

    Args:
        options: the lab's options.
        backends: makes clusters, machines and servers real.
        authority: signs what the services show.
        faults: what is to go wrong.
        now: the clock of tokens, propagation, limits and retention.
        signing_key: signs the access tokens; None makes a new one.
        steady: the clock by which deletions take their time, which nobody sets; `now` by default.
    """

    def __init__(
        self,
        options: LabOptions,
        backends: Backends,
        authority: Authority,
        faults: Faults,
        now: Callable[[], datetime] = utc_now,
        signing_key: rsa.RSAPrivateKey | None = None,
        steady: Callable[[], datetime] | None = None,
    ) -> None:
        propagation = timedelta(seconds=options.propagation_delay_seconds)
        self._authority, self._faults, self._listen = authority, faults, options.listen
        self.directory = Directory(now, OPERATOR_CLIENT_ID, propagation)
        self.access = Access(now, propagation)
        self.access.make_owner(self.directory.operator.object_id, f"/subscriptions/{SUBSCRIPTION_ID}")
        self.tokens = Tokens(TENANT_ID, self.directory, now, key=signing_key)
        faults.follow("tokens-short-lived", self._shorten_tokens)
        self.vaults = VaultStore(now, timedelta(seconds=options.operation_seconds), steady)
        faults.follow("secrets-deleted-slowly", self.vaults.slow_down)
        self.storage = StorageStore(now)
        self.cluster_access = ClusterAccess(self.tokens, self.directory, self.access)
        self.gateway = Gateway(Routes(options.network, self._finds), options.ports)
        self.arm = Arm(options, self.directory, self.access, self.tokens, backends, self.vaults, self.storage, now)
        self._given_issuers: dict[str, Issuer] = {}
        self._issuers = Issuers(self._find_issuer, options.trusted_issuers)
        self._federation = Federation(self.directory, self._issuers.fetch_keys, now)
        self.limits = Limits(now)
        self._now = now
        self.requests = Requests(lambda request: self.gateway.origin_of(request).kind)
        self._sites = self._applications()
        self._runner = create_runner(self._sites, faults, self.requests)

    def _shorten_tokens(self, on: bool) -> None:
        self.tokens.lifetime = SHORT_LIFETIME if on else LIFETIME

    def operations(self) -> dict[str, list[str]]:
        """Host -> the operations that are served under it."""
        return {host: operations_of(site) for host, site in self._sites.items() if host != "*"}

    def _applications(self) -> dict[str, web.Application]:
        policies = Policies(self._faults.is_on, self._now)
        vaults = KeyVault(self.vaults, VaultGuard(self.tokens, self.access), self.limits, policies)
        blobs = BlobService(self.storage, BlobGuard(self.tokens, self.access))
        sites = {
            entra.HOST: Entra(self.tokens, self.directory, self._federation, self._now).app(),
            ARM_HOST: self.arm.app(),
            graph.HOST: Graph(self.tokens, self.directory).app(),
            f"*.{VAULT_DOMAIN}": vaults.app(),
            f"*.{BLOB_DOMAIN}": blobs.app(),
            f"*.{ISSUER_DOMAIN}": self._issuers.app(),
            IMDS_HOST: Imds(self.tokens, self.directory, self.gateway.origin_of).app(),
            "*": forwarding.create_app(self.gateway),
        }
        for host, site in sites.items():
            site[SERVICE] = host
        return sites

    def add_application(self, name: str) -> dict[str, str]:
        """Make an application that has no role yet; returns its ids and its client secret."""
        made, secret = self.directory.add_application(name)
        return {"client_id": made.client_id, "object_id": made.object_id, "client_secret": secret}

    @property
    def operator_secret(self) -> str:
        """The operator's client secret, random for each lab."""
        return self.directory.operator_secret

    @property
    def ca_bundle(self) -> Path:
        """What clients must trust."""
        return self._authority.bundle_path

    async def start(self) -> None:
        """Make the services ready; proxies can be opened from now on."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None, "setup() makes it"
        domains = [f"*.{domain}" for domain in (VAULT_DOMAIN, BLOB_DOMAIN, ISSUER_DOMAIN)]
        self.gateway.serve(server, self._authority.server_context(entra.HOST, ARM_HOST, graph.HOST, *domains))
        if self._listen:
            await self.gateway.listen(*self._listen)

    async def stop(self) -> None:
        """End what ARM still does, close all proxies and end the services."""
        await self.arm.stop()
        await self.gateway.stop()
        await self._runner.cleanup()

    def set_issuer(
        self,
        issuer_url: str,
        openid_configuration: Callable[[], dict[str, Any]],
        jwks: Callable[[], dict[str, Any]],
    ) -> None:
        """Make an issuer known that is not a cluster of ARM's."""
        self._given_issuers[issuer_url] = _GivenIssuer(openid_configuration, jwks)

    def _find_issuer(self, issuer_url: str) -> Issuer | None:
        return self._given_issuers.get(issuer_url) or self.arm.find_issuer(issuer_url)

    def _finds(self, host: str) -> bool | None:
        """Whether a name answers: None when it is none of Azure's."""
        name, _, domain = host.partition(".")
        if host in (entra.HOST, ARM_HOST, graph.HOST) or domain == ISSUER_DOMAIN:
            return True
        if domain == VAULT_DOMAIN:
            return self.vaults.find(name) is not None
        if domain == BLOB_DOMAIN:
            return self.storage.find(name) is not None
        return False if host.endswith(f".{CLUSTER_DOMAIN}") else None
