"""How fast the small API server is: `python -m benchmarks.kubernetes_api`.

The server has a thread of its own in this process, so the numbers hold what its clients cost, too.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from benchmarks.common import Result, Row, run_alone
from testing.clusters import SmallCluster, small_cluster

SECRETS = "/api/v1/namespaces/default/secrets"
WATCHERS, WRITES, OBJECTS = 100, 100, 1000


@dataclass
class Measured:
    """Seconds."""

    creating: float
    listing: float
    events: list[float]


@asynccontextmanager
async def connected(cluster: SmallCluster) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session with the API server for a block, as the kubeconfig's user."""
    token = cluster.kubeconfig["users"][0]["user"]["token"]
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=cluster.ca_pem), limit=0)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(cluster.server.url, headers=headers, connector=connector) as session:
        yield session


async def create(session: aiohttp.ClientSession) -> float:
    """Make the objects, eight at once, and return the seconds that took."""
    at_once = asyncio.Semaphore(8)

    async def create_secret(number: int) -> None:
        body = {"metadata": {"name": f"s{number}"}, "data": {"USERNAME": "ZGV4dGVy", "PASSWORD": "QWRtaW4xMjM="}}
        async with at_once, session.post(SECRETS, json=body) as answer:
            answer.raise_for_status()

    begun = time.perf_counter()
    await asyncio.gather(*map(create_secret, range(OBJECTS)))
    return time.perf_counter() - begun


async def list_all(session: aiohttp.ClientSession) -> float:
    """List the objects once and return the seconds that took."""
    begun = time.perf_counter()
    async with session.get(SECRETS) as answer:
        await answer.read()
    return time.perf_counter() - begun


async def watch(session: aiohttp.ClientSession, seen: asyncio.Queue[float]) -> None:
    """Follow changes: a zero when the watch is open, then the time of each event."""
    timeout = aiohttp.ClientTimeout(total=None)
    query = {"watch": "true", "fieldSelector": "metadata.name!=none", "sendInitialEvents": "false"}
    async with session.get(SECRETS, params=query, timeout=timeout) as answer:
        seen.put_nowait(0.0)
        async for _ in answer.content:
            seen.put_nowait(time.perf_counter())


async def events(session: aiohttp.ClientSession) -> list[float]:
    """Write to objects one by one and return the seconds until each watcher saw each write."""
    queues: list[asyncio.Queue[float]] = [asyncio.Queue() for _ in range(WATCHERS)]
    tasks = [asyncio.create_task(watch(session, queue)) for queue in queues]
    for queue in queues:
        await queue.get()
    found = []
    headers = {"Content-Type": "application/merge-patch+json"}
    for number in range(WRITES):
        begun = time.perf_counter()
        path = f"{SECRETS}/s{number}"
        async with session.patch(path, data='{"data":{"PASSWORD":"bmV3"}}', headers=headers) as answer:
            answer.raise_for_status()
        found += [await queue.get() - begun for queue in queues]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return found


async def measure_all(cluster: SmallCluster) -> Measured:
    """Measure making, listing and watching, in this order."""
    async with connected(cluster) as session:
        return Measured(await create(session), await list_all(session), await events(session))


def measure(quick: bool) -> Result:
    """Start the server and measure; it takes seconds anyway."""
    begun = time.perf_counter()
    with small_cluster() as cluster:
        started = time.perf_counter() - begun
        measured = asyncio.run(measure_all(cluster))
    rows = [
        Row("start, certificates included", [1e3 * started], "ms"),
        Row(f"create {OBJECTS} Secrets", [1e3 * measured.creating], "ms"),
        Row(f"list {OBJECTS} Secrets", [1e3 * measured.listing], "ms"),
        Row(f"from a PATCH to its event, {WATCHERS} watchers", [1e3 * seconds for seconds in measured.events], "ms"),
    ]
    return Result("The lab's API server", rows)


if __name__ == "__main__":
    run_alone(measure, __doc__ or "")
