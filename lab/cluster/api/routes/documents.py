"""Paths that are no resources: discovery, OpenAPI, health, version and the OIDC documents."""

from aiohttp import web

from lab.cluster.api import discovery
from lab.cluster.api.errors import no_such_resource
from lab.cluster.api.kinds.kind import Registry
from lab.cluster.api.routes.call import Call
from lab.cluster.api.schema import openapi
from lab.cluster.api.security.tokens import ServiceAccountTokens

VERSION = {
    "major": "1",
    "minor": "34",
    "emulationMajor": "1",
    "emulationMinor": "34",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "33",
    "gitVersion": "v1.34.4",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_HEALTH = ("/healthz", "/livez", "/readyz")


class Documents:
    """Answers requests for documents.

    Args:
        registry: the kinds.
        tokens: says the issuer's documents.
    """

    def __init__(self, registry: Registry, tokens: ServiceAccountTokens) -> None:
        self._registry, self._tokens = registry, tokens

    async def answer(self, call: Call) -> web.StreamResponse:
        """Answer a request for a document.

        Raises:
            ApiError: 404 for paths that lead nowhere.
        """
        path = call.info.path.rstrip("/")
        if path in _HEALTH or path.startswith(tuple(f"{prefix}/" for prefix in _HEALTH)):
            return web.Response(text="ok")
        if path == "/version":
            return call.json(VERSION)
        if path == "/.well-known/openid-configuration":
            return call.json(self._tokens.openid_configuration())
        if path == "/openid/v1/jwks":
            return web.json_response(self._tokens.jwks(), content_type="application/jwk-set+json")
        if path.startswith("/openapi/v3"):
            return self._openapi(call, path.removeprefix("/openapi/v3").strip("/"))
        return self._discovery(call, path.strip("/").split("/"))

    def has_group(self, group: str, version: str) -> bool:
        """Whether anything of a group version is served."""
        return discovery.find_resources(self._registry, group, version) is not None

    def _openapi(self, call: Call, path: str) -> web.Response:
        document = openapi.find_document(self._registry, path) if path else openapi.index(self._registry)
        if document is None:
            raise no_such_resource()
        return call.json(document)

    def _discovery(self, call: Call, parts: list[str]) -> web.Response:
        if parts[0] not in ("api", "apis"):
            return no_page()
        is_core = parts[0] == "api"
        if len(parts) == 1:
            if discovery.wants_aggregated(call.request.headers.get("Accept", "")):
                body = call.json(discovery.aggregated(self._registry, is_core))
                body.headers["Content-Type"] = discovery.AGGREGATED
                return body
            return call.json(
                discovery.core_versions(call.request.host) if is_core else discovery.group_list(self._registry)
            )
        group, rest = ("", parts[1:]) if is_core else (parts[1], parts[2:])
        if rest:
            found = discovery.find_resources(self._registry, group, rest[0])
        else:
            found = discovery.find_group(self._registry, group)
        return call.json(found) if found else no_page()


def no_page() -> web.Response:
    """The answer for paths that lead nowhere."""
    return web.Response(text="404 page not found\n", status=404)
