"""Streams of a pod: logs, exec, attach and port-forward, passed on to the kubelet of the pod's node.

The node speaks the protocols itself; here WebSocket messages go to and fro as they are.
https://kubernetes.io/docs/reference/using-api/api-concepts/ (WebSocket, v4 and v5.channel.k8s.io)
"""

import asyncio
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import MultiDict
from yarl import URL

from lab.cluster.api.errors import ApiError, bad_request
from lab.cluster.api.kinds.kind import Kind, Registry
from lab.cluster.api.objects import Json, dig
from lab.cluster.api.routes.call import Call
from lab.cluster.api.routes.pods import pod_of
from lab.cluster.api.store import Store

_CHUNK_BYTES = 1 << 16
_MESSAGE_BYTES = 1 << 25
_KUBELET_PATHS = {"exec": "exec", "attach": "attach", "portforward": "portForward", "log": "containerLogs"}
_UPGRADE = "websocket"
_REFUSED = (400, 404, 500)


@dataclass(frozen=True)
class _Place:
    """Where a node answers for a pod."""

    url: str
    headers: dict[str, str]


class Streams:
    """Passes streams on to nodes.

    Args:
        store: where pods and nodes are.
        registry: the kinds.
        token: bearer token that the nodes know.
    """

    def __init__(self, store: Store, registry: Registry, token: str) -> None:
        self._store, self._registry, self._token = store, registry, token
        self._session: aiohttp.ClientSession | None = None
        self._open: set[web.WebSocketResponse] = set()

    async def close(self) -> None:
        """End all streams."""
        for socket in tuple(self._open):
            await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def log(self, call: Call, kind: Kind) -> web.StreamResponse:
        """A container's output, to its end or as it comes."""
        place = self._place(call, kind)
        try:
            async with self._client().get(place.url, headers=place.headers) as answer:
                if answer.status != 200:
                    raise _as_error(answer.status, await answer.text())
                response = web.StreamResponse(headers={"Content-Type": "text/plain"})
                await response.prepare(call.request)
                async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                    await response.write(chunk)
                await response.write_eof()
                return response
        except aiohttp.ClientConnectionError as error:
            raise _unreachable(call, place, error) from None

    async def connect(self, call: Call, kind: Kind) -> web.StreamResponse:
        """exec, attach or port-forward over a WebSocket."""
        place = self._place(call, kind)
        if call.request.headers.get("Upgrade", "").lower() != _UPGRADE:
            raise bad_request("Upgrade request required")
        offered = [protocol.strip() for protocol in call.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        wanted = [protocol for protocol in offered if protocol and not protocol.startswith("base64url.bearer.")]
        try:
            async with self._client().ws_connect(
                place.url, headers=place.headers, protocols=wanted, max_msg_size=_MESSAGE_BYTES, autoping=True
            ) as node:
                return await self._relay(call, node)
        except aiohttp.WSServerHandshakeError as error:
            raise _as_error(error.status, error.message) from None
        except aiohttp.ClientConnectionError as error:
            raise _unreachable(call, place, error) from None

    async def _relay(self, call: Call, node: aiohttp.ClientWebSocketResponse) -> web.StreamResponse:
        protocols = (node.protocol,) if node.protocol else ()
        client = web.WebSocketResponse(protocols=protocols, max_msg_size=_MESSAGE_BYTES, compress=False)
        await client.prepare(call.request)
        self._open.add(client)
        try:
            to_node, to_client = asyncio.create_task(_pump(client, node)), asyncio.create_task(_pump(node, client))
            await asyncio.wait([to_node, to_client], return_when=asyncio.FIRST_COMPLETED)
            for task in (to_node, to_client):
                task.cancel()
            await asyncio.gather(to_node, to_client, return_exceptions=True)
            await client.close(code=_close_code(node.close_code))
        finally:
            self._open.discard(client)
        return client

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=10)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        return self._session

    def _place(self, call: Call, kind: Kind) -> _Place:
        pod = pod_of(self._store, kind, call)
        name, namespace, part = call.info.name, call.info.namespace, call.info.subresource
        node_name = dig(pod, "spec", "nodeName")
        if not node_name:
            raise bad_request(f"pod {name} does not have a host assigned")
        query: MultiDict[str] = MultiDict(call.request.query)
        path = f"{_KUBELET_PATHS[part]}/{namespace}/{name}"
        if part != "portforward":
            path += "/" + _container(pod, query.pop("container", ""))
        url = URL(f"{self._endpoint(node_name)}/{path}").with_query(query)
        return _Place(str(url), {"Authorization": f"Bearer {self._token}"})

    def _endpoint(self, node_name: str) -> str:
        node = self._store.find(self._registry.get("", "nodes"), "", node_name)
        addresses = dig(node.obj, "status", "addresses") if node else None
        by_type = {address["type"]: address["address"] for address in addresses or ()}
        port = dig(node.obj, "status", "daemonEndpoints", "kubeletEndpoint", "Port") if node else None
        address = by_type.get("InternalIP") or by_type.get("Hostname")
        if not address or not port:
            raise ApiError(500, "InternalError", f"no preferred addresses found for node {node_name}")
        return f"http://{address}:{port}"


def _container(pod: Json, wanted: str) -> str:
    spec, name = pod["spec"], pod["metadata"]["name"]
    containers = [container["name"] for container in spec.get("containers") or ()]
    known = containers + [container["name"] for container in spec.get("initContainers") or ()]
    if wanted:
        if wanted not in known:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    annotated = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if len(containers) > 1 and annotated not in containers:
        choice = " ".join(containers)
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{choice}]")
    return str(annotated if annotated in containers else containers[0])


def _close_code(code: int | None) -> int:
    """The code to pass on; a connection that just ended has one that must not be sent."""
    if code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE:
        return aiohttp.WSCloseCode.INTERNAL_ERROR
    return code or aiohttp.WSCloseCode.OK


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.BINARY:
            await sink.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await sink.send_str(message.data)


def _as_error(status: int, text: str) -> ApiError:
    """A kubelet answers in plain text; the API server makes a Status of it."""
    code = status if status in _REFUSED else 500
    reason = {400: "BadRequest", 404: "NotFound"}.get(code, "InternalError")
    return ApiError(code, reason, text.strip())


def _unreachable(call: Call, place: _Place, error: Exception) -> ApiError:
    url = place.url.partition("?")[0]
    return ApiError(500, "InternalError", f'Get "{url}": dial tcp: {error}', {"causes": []})
