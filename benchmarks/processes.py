"""What processes cost: CPU and peak memory of a tree of them, and the requests that this process sends, by host."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import httpx
from urllib3.connectionpool import HTTPConnectionPool

from testing.processes import PROC, list_parents, list_tree, read_stat

TICKS = os.sysconf("SC_CLK_TCK")
TOO_MANY = 429


@dataclass
class Traffic:
    """Requests of this process.

    Args:
        sent: host -> how many were sent, repeated ones included.
        throttled: host -> how many were answered with 429.
    """

    sent: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, host: str, status: int) -> None:
        """Count a request and its answer."""
        with self._lock:
            self.sent[host] += 1
            self.throttled[host] += status == TOO_MANY


@contextmanager
def traffic_counted() -> Iterator[Traffic]:
    """Count the requests of a block: Azure's and Kubernetes' clients send theirs by urllib3, Prefect's by httpx."""
    found, send = Traffic(), HTTPConnectionPool._make_request
    send_sync, send_async = httpx.Client.send, httpx.AsyncClient.send

    def by_urllib3(pool: HTTPConnectionPool, *args: Any, **kwargs: Any) -> Any:
        answer = send(pool, *args, **kwargs)
        found.note(pool.host, answer.status)
        return answer

    def by_httpx(client: httpx.Client, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        answer = send_sync(client, request, **kwargs)
        found.note(f"{request.url.host}:{request.url.port}", answer.status_code)
        return answer

    async def by_httpx_async(client: httpx.AsyncClient, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        answer = await send_async(client, request, **kwargs)
        found.note(f"{request.url.host}:{request.url.port}", answer.status_code)
        return answer

    with ExitStack() as stack:
        stack.enter_context(patch.object(HTTPConnectionPool, "_make_request", by_urllib3))
        stack.enter_context(patch.object(httpx.Client, "send", by_httpx))
        stack.enter_context(patch.object(httpx.AsyncClient, "send", by_httpx_async))
        yield found


def find_child(word: str) -> int:
    """Return the child of this process whose command has a word."""
    children = [process for process, parent in list_parents().items() if parent == os.getpid()]
    return next(process for process in children if word in (PROC / str(process) / "cmdline").read_text())


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process and of all that came from it, also of what has ended."""
    return sum(sum(map(int, read_stat(each)[11:15])) for each in list_tree(process)) / TICKS


def peak_megabytes(process: int) -> float:
    """Return the most memory that the largest process of a tree has had."""
    return max(_peak(each) for each in list_tree(process))


def forget_peak() -> None:
    """Let the peak of this process begin anew."""
    (PROC / "self/clear_refs").write_text("5")


def _peak(process: int) -> float:
    lines = (PROC / str(process) / "status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
