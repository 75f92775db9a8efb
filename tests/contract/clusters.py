"""Clusters to test against: the small API server in a thread of its own, or a real kube-apiserver."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import trustme
import yaml

from infra.lab.cluster.api import ApiServer

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


@contextmanager
def small_cluster(**options: Any) -> Iterator[SmallCluster]:
    """Start the small API server with TLS on a free port of 127.0.0.1; end it afterwards.

    Args:
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
    try:
        yield SmallCluster(server, yaml.safe_load(server.kubeconfig("admin")), loop, ca_pem)
    finally:
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
