"""The OIDC issuers of clusters: their discovery documents, and their keys as Entra ID fetches them."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from lab.azure.json_answers import json_answer

DOMAIN = "oic.prod-aks.azure.com"


class Issuer(Protocol):
    """Whoever signs service account tokens; a `RunningCluster` is one."""

    def openid_configuration(self) -> dict[str, Any]:
        """The document at ISSUER/.well-known/openid-configuration."""

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK set."""


class Issuers:
    """Finds issuers by their URL.

    Args:
        find: looks an issuer up among the running clusters.
    """

    def __init__(self, find: Callable[[str], Issuer | None]) -> None:
        self._find = find

    async def fetch_keys(self, issuer_url: str) -> Mapping[str, Any]:
        """The keys of an issuer, as Entra ID fetches them.

        Raises:
            LookupError: nobody answers at this URL.
        """
        found = self._find(issuer_url)
        if found is None:
            raise LookupError(issuer_url)
        return found.jwks()

    def app(self) -> web.Application:
        """The application for *.oic.prod-aks.azure.com."""
        app = web.Application()
        app.router.add_get("/{tenant}/{id}/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/{tenant}/{id}/openid/v1/jwks", self._keys)
        return app

    async def _configuration(self, request: web.Request) -> web.Response:
        return json_answer(self._get(request).openid_configuration())

    async def _keys(self, request: web.Request) -> web.Response:
        return json_answer(self._get(request).jwks())

    def _get(self, request: web.Request) -> Issuer:
        found = self._find(f"https://{request.url.host}/{request.match_info['tenant']}/{request.match_info['id']}/")
        if found is None:
            raise web.HTTPNotFound(text="No cluster has this issuer.\n")
        return found
