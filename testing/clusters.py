"""Clusters to test against: the small API server in a thread of its own, or a real kube-apiserver."""

import asyncio
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import trustme
import yaml

from lab.cluster.api import ApiServer
from lab.cluster.argo_rollouts import Rollouts
from lab.cluster.client import Client
from lab.cluster.controllers.manager import Controllers

ISSUER = "https://oidc.lab.local/xyz/"
KUBELET_TOKEN = "kubelet-token-of-a-test"


@dataclass
class SmallCluster:
    """The small API server, running in a background thread.

    Args:
        server: it; call its methods through `call`.
        kubeconfig: for its administrator.
    """

    server: ApiServer
    kubeconfig: dict[str, Any]
    loop: asyncio.AbstractEventLoop
    ca_pem: str
    name: str = "small"
    extras: dict[str, Any] = field(default_factory=dict)

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine in the server's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def call(self, function: Any, *arguments: Any) -> Any:
        """Call a function in the server's loop and return its result."""

        async def inside() -> Any:
            return function(*arguments)

        return self.run(inside())


async def _start_controllers(server: ApiServer, ca_pem: str) -> AsyncExitStack:
    kubeconfig = yaml.safe_load(server.kubeconfig("admin"))
    stack = AsyncExitStack()
    client = await stack.enter_async_context(
        Client(server.url, ssl.create_default_context(cadata=ca_pem), kubeconfig["users"][0]["user"]["token"])
    )
    controllers = Controllers(client, f"127.{100 + os.getpid() % 100}", ca_pem)
    await controllers.start()
    stack.push_async_callback(controllers.stop)
    rollouts = Rollouts(client)
    await rollouts.start()
    stack.push_async_callback(rollouts.stop)
    return stack


@contextmanager
def small_cluster(*, controllers: bool = False, **options: Any) -> Iterator[SmallCluster]:
    """Start the small API server with TLS on a free port of 127.0.0.1; end it afterwards.

    Args:
        controllers: whether its controllers run, too.
        options: passed to ApiServer.
    """
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ca_pem = ca.cert_pem.bytes().decode()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="api-server", daemon=True)
    thread.start()
    settings = {"issuer_url": ISSUER, "kubelet_token": KUBELET_TOKEN} | options
    server = ApiServer("127.0.0.1", 0, context, ca_pem, **settings)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
    running = AsyncExitStack()
    if controllers:
        running = asyncio.run_coroutine_threadsafe(_start_controllers(server, ca_pem), loop).result(30)
    try:
        yield SmallCluster(server, yaml.safe_load(server.kubeconfig("admin")), loop, ca_pem)
    finally:
        asyncio.run_coroutine_threadsafe(running.aclose(), loop).result(30)
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        asyncio.run_coroutine_threadsafe(_drained(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


async def _drained() -> None:
    """End the connections that are left: one whose client left a watch waits half a minute for TLS to say goodbye."""
    loop = asyncio.get_running_loop()
    for transport in list(loop._transports.values()):  # type: ignore[attr-defined]
        transport.abort()
    for _ in range(200):
        if len(loop._selector.get_map()) <= 1:  # type: ignore[attr-defined]
            return
        await asyncio.sleep(0.01)
