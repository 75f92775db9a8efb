"""The OIDC issuers of clusters: their discovery documents, and their keys as Entra ID fetches them.

Those of the lab's own clusters answer here. Others are fetched where they are, if the lab was told to trust them.
"""

import ssl
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import aiohttp
from aiohttp import web

from lab.azure.json_answers import json_answer

DOMAIN = "oic.prod-aks.azure.com"
_TIMEOUT = aiohttp.ClientTimeout(total=10)


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
        trusted: URLs of issuers elsewhere. Their certificates must come from the authorities that Python trusts, or
            from those of SSL_CERT_FILE where the lab is started.
    """

    def __init__(self, find: Callable[[str], Issuer | None], trusted: Collection[str] = ()) -> None:
        self._find, self._trusted = find, frozenset(trusted)

    async def fetch_keys(self, issuer_url: str) -> Mapping[str, Any]:
        """The keys of an issuer, as Entra ID fetches them.

        Raises:
            LookupError: nobody answers at this URL.
        """
        if found := self._find(issuer_url):
            return found.jwks()
        if issuer_url not in self._trusted:
            raise LookupError(issuer_url)
        try:
            return await _fetch_keys(issuer_url)
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise LookupError(f"{issuer_url}: {error!r}") from None

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


async def _fetch_keys(issuer_url: str) -> Mapping[str, Any]:
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, raise_for_status=True) as session:
        async with session.get(f"{issuer_url.rstrip('/')}/.well-known/openid-configuration") as answer:
            configuration = await answer.json(content_type=None)
        if configuration["issuer"] != issuer_url:
            raise ValueError(f"it calls itself {configuration['issuer']}")
        async with session.get(str(configuration["jwks_uri"])) as answer:
            keys: Mapping[str, Any] = await answer.json(content_type=None)
            return keys
