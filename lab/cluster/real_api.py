"""A real API server with its controllers in the place of the lab's own, and the workload identity webhook beside it."""

import asyncio
import base64
import json
import secrets
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.cluster.client import SERVICE_ACCOUNTS, Client, Object, Resource
from lab.cluster.control_plane import ADDRESS, ControlPlane
from lab.cluster.webhook import PREFIX, review
from lab.control.certificates import Authority

_USERS = {"admin": "masterclient", "user": "clusterUser"}
_WEBHOOKS = Resource("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", namespaced=False)
_NAME = "azure-wi-webhook-mutating-webhook-configuration"


class RealApi:
    """Has the face of `ApiServer` that a cluster needs; faults of the API server have no effect on it.

    Args:
        folder: the binaries.
        state: an empty folder.
        authority: signs the certificates.
        names: of the API server, in its certificate.
        port: to listen on, 0 for any free one.
        issuer_url: the OIDC issuer of service account tokens.
        tenant_id: where the workload identity webhook looks for identities; empty for no webhook.
    """

    def __init__(
        self,
        folder: Path,
        state: Path,
        authority: Authority,
        names: Sequence[str],
        port: int,
        issuer_url: str,
        tenant_id: str,
    ) -> None:
        self._tokens = {name: secrets.token_urlsafe(24) for name in _USERS.values()}
        users = {token: name for name, token in self._tokens.items()}
        self._plane = ControlPlane(folder, state, authority, issuer_url, users, names, port)
        self._issuer, self._keys = issuer_url, dict[str, Any]()
        self._webhook = Webhook(self._plane, self._tokens["masterclient"], tenant_id) if tenant_id else None

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        return self._plane.port

    @property
    def url(self) -> str:
        """Where it answers, once started."""
        return self._plane.url

    async def start(self) -> None:
        """Start it; returns when the controllers work."""
        await asyncio.to_thread(self._plane.start)
        self._keys = await asyncio.to_thread(self._plane.get, "/openid/v1/jwks")
        if self._webhook is not None:
            await self._webhook.start()

    async def stop(self) -> None:
        """End its processes."""
        if self._webhook is not None:
            await self._webhook.stop()
        await asyncio.to_thread(self._plane.stop)

    def token(self, user: str, groups: Sequence[str]) -> str:
        """The token of an administrator."""
        return self._tokens[user]

    def local_account(self, role: str) -> dict[str, Any]:
        """The user of a kubeconfig who is one of AKS's local accounts: role "admin" or "user"."""
        return {"token": self._tokens[_USERS[role]]}

    def jwks(self) -> dict[str, Any]:
        """The public keys that service account tokens are signed with, as a JWK set."""
        return self._keys

    def openid_configuration(self) -> dict[str, Any]:
        """The document at ISSUER/.well-known/openid-configuration."""
        return {
            "issuer": self._issuer,
            "jwks_uri": f"{self._issuer}openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }


class Webhook:
    """Serves the workload identity webhook, and tells the API server of it.

    Args:
        plane: the control plane that asks.
        token: of an administrator.
        tenant_id: where identities are looked for.
    """

    def __init__(self, plane: ControlPlane, token: str, tenant_id: str) -> None:
        self._plane, self._token, self._tenant_id = plane, token, tenant_id
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen, and register at the API server."""
        app = web.Application()
        app.router.add_post("/mutate-v1-pod", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        tls = self._plane.authority.server_context(ADDRESS)
        await web.TCPSite(self._runner, ADDRESS, 0, ssl_context=tls).start()
        async with self._client() as client:
            await client.create(_WEBHOOKS, self._configuration(self._runner.addresses[0][1]))

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _client(self) -> Client:
        return Client(self._plane.url, ssl.create_default_context(cadata=self._plane.authority.pem), self._token)

    def _configuration(self, port: int) -> Object:
        authority = base64.b64encode(self._plane.authority.pem.encode()).decode()
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        webhook = {
            "name": "mutation.azure-workload-identity.io",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": f"https://{ADDRESS}:{port}/mutate-v1-pod", "caBundle": authority},
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "objectSelector": {"matchLabels": {f"{PREFIX}use": "true"}},
            "reinvocationPolicy": "IfNeeded",
            "rules": [rule],
            "sideEffects": "None",
        }
        return {
            "apiVersion": _WEBHOOKS.group_version,
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": _NAME},
            "webhooks": [webhook],
        }

    async def _answer(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        pod, namespace = asked["request"]["object"], asked["request"]["namespace"]
        async with self._client() as client:
            account = await client.get(SERVICE_ACCOUNTS, namespace, pod["spec"].get("serviceAccountName") or "default")
        return web.json_response(review(asked, account, self._tenant_id))
