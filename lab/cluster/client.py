"""A small JSON client of the Kubernetes API: what controllers, node and CSI driver speak, and nothing else.

It knows paths, patches and watches, no kinds: objects are the JSON that the API server sent.
"""

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
USER_AGENT = "keyturn-lab"


@dataclass(frozen=True)
class Resource:
    """Where a kind lives: its group version, its plural and whether namespaces hold it."""

    group_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of a collection, an object or a subresource; an empty namespace means all of them."""
        root = "/api/" if "/" not in self.group_version else "/apis/"
        scope = f"namespaces/{namespace}/" if self.namespaced and namespace else ""
        return "/".join(
            part for part in (f"{root}{self.group_version}/{scope}{self.plural}", name, subresource) if part
        )


PODS = Resource("v1", "pods")
SECRETS = Resource("v1", "secrets")
CONFIG_MAPS = Resource("v1", "configmaps")
SERVICES = Resource("v1", "services")
ENDPOINTS = Resource("v1", "endpoints")
EVENTS = Resource("v1", "events")
SERVICE_ACCOUNTS = Resource("v1", "serviceaccounts")
CLAIMS = Resource("v1", "persistentvolumeclaims")
NAMESPACES = Resource("v1", "namespaces", namespaced=False)
NODES = Resource("v1", "nodes", namespaced=False)
DEPLOYMENTS = Resource("apps/v1", "deployments")
REPLICA_SETS = Resource("apps/v1", "replicasets")
STATEFUL_SETS = Resource("apps/v1", "statefulsets")
DAEMON_SETS = Resource("apps/v1", "daemonsets")
JOBS = Resource("batch/v1", "jobs")
CRON_JOBS = Resource("batch/v1", "cronjobs")
REVISIONS = Resource("apps/v1", "controllerrevisions")
ENDPOINT_SLICES = Resource("discovery.k8s.io/v1", "endpointslices")
LEASES = Resource("coordination.k8s.io/v1", "leases")
CSI_DRIVERS = Resource("storage.k8s.io/v1", "csidrivers", namespaced=False)
DEFINITIONS = Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource("rbac.authorization.k8s.io/v1", "clusterrolebindings", namespaced=False)
PROVIDER_CLASSES = Resource("secrets-store.csi.x-k8s.io/v1", "secretproviderclasses")
POD_STATUSES = Resource("secrets-store.csi.x-k8s.io/v1", "secretproviderclasspodstatuses")


class ApiError(Exception):
    """The API server refused: HTTP status, the Status' reason and message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message

    @property
    def not_found(self) -> bool:
        """The object, or the kind, does not exist."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """It exists already, or was changed in between."""
        return self.status == 409


class Client:
    """A connection to one API server.

    Args:
        url: its base URL.
        tls: the context that trusts it (and holds a client certificate, where that is how we log in).
        token: bearer token; empty when the context holds a certificate.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None = None, token: str = "") -> None:
        self.url, self._tls, self._token = url.rstrip("/"), tls, token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"User-Agent": USER_AGENT, "Accept": "application/json, */*;q=0.1"}
            if self._token:
                headers["Authorization"] = f"Bearer {self._token}"
            connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True, limit=0)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
            self._session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout)
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object.

        Raises:
            ApiError: with `not_found` when it is absent.
        """
        return await self.request("GET", resource.path(namespace, name))

    async def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        try:
            return await self.get(resource, namespace, name)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def list(self, resource: Resource, namespace: str = "", **query: str) -> Object:
        """A collection as it came: `items` and `metadata.resourceVersion`."""
        return await self.request("GET", resource.path(namespace), query=query)

    async def create(self, resource: Resource, obj: Object, subresource: str = "") -> Object:
        """Create an object, or post to a subresource of the one named in `obj`."""
        meta = obj.get("metadata", {})
        name = meta.get("name", "") if subresource else ""
        return await self.request("POST", resource.path(meta.get("namespace", ""), name, subresource), obj)

    async def replace(self, resource: Resource, obj: Object, subresource: str = "") -> Object:
        """Write a whole object; its resourceVersion guards against lost updates."""
        meta = obj["metadata"]
        return await self.request("PUT", resource.path(meta.get("namespace", ""), meta["name"], subresource), obj)

    async def patch(
        self, resource: Resource, namespace: str, name: str, patch: Any, *, kind: str = MERGE, subresource: str = ""
    ) -> Object:
        """Patch an object; lists are replaced by a merge patch."""
        return await self.request("PATCH", resource.path(namespace, name, subresource), patch, content_type=kind)

    async def apply(self, resource: Resource, obj: Object, manager: str) -> Object:
        """Server-side apply, taking over what others own."""
        meta = obj["metadata"]
        path = resource.path(meta.get("namespace", ""), meta["name"])
        return await self.request(
            "PATCH", path, obj, content_type=APPLY, query={"fieldManager": manager, "force": "true"}
        )

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> Object | None:
        """Delete an object; with `uid` only that one. None when it was gone already (or is another one)."""
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            return await self.request("DELETE", resource.path(namespace, name), body)
        except ApiError as error:
            if error.not_found or error.conflict:
                return None
            raise

    async def watch(self, resource: Resource, namespace: str, version: str, **query: str) -> AsyncIterator[Object]:
        """Events after `version`, bookmarks included, until the server ends the stream.

        Raises:
            ApiError: status 410 when `version` is too old.
        """
        query |= {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        async with self._open().get(self.url + resource.path(namespace), params=query) as response:
            if response.status >= 400:
                raise _error(response.status, await response.read())
            async for line in _lines(response.content):
                event: Object = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(status.get("code", 500), status.get("reason", ""), status.get("message", ""))
                yield event

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """One request and its JSON answer.

        Raises:
            ApiError: for every status from 400 on.
        """
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        timeout = aiohttp.ClientTimeout(total=60)
        async with self._open().request(
            method, self.url + path, data=data, headers=headers, params=query, timeout=timeout
        ) as response:
            payload = await response.read()
            if response.status >= 400:
                raise _error(response.status, payload)
            answer: Object = json.loads(payload)
            return answer


def _error(status: int, payload: bytes) -> ApiError:
    try:
        body = json.loads(payload)
        return ApiError(status, body.get("reason", ""), body.get("message", ""))
    except ValueError:
        return ApiError(status, "", payload.decode(errors="replace")[:500])


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: the stream's own iteration stops at a limit."""
    rest = b""
    async for chunk in stream.iter_any():
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if line:
                yield line
