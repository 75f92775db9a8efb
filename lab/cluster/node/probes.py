"""Probes: exec, tcpSocket and httpGet, with the kubelet's thresholds and texts."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from lab.cluster.client import Object

Run = Callable[[list[str], float], Awaitable[tuple[int, str]]]
"""Runs a command in the container with a limit in seconds; exit code and output."""


@dataclass(frozen=True)
class Result:
    """What one probe found."""

    healthy: bool
    output: str


class Probe:
    """One probe of one running container.

    Args:
        spec: the probe as the pod has it.
        container: the container, for named ports.
        address: the pod's address.
        run: runs commands in the container.
    """

    def __init__(self, spec: Object, container: Object, address: str, run: Run) -> None:
        self._spec, self._container, self._address, self._run = spec, container, address, run

    async def verdicts(self, verdict: bool | None, on_failure: Callable[[str], None]) -> AsyncIterator[bool]:
        """Probe for ever and tell when the verdict changes, which takes as many equal results as its threshold.

        Args:
            verdict: what holds before; None when nothing does.
            on_failure: called with the output of every probe that fails.
        """
        await asyncio.sleep(self._spec.get("initialDelaySeconds", 0))
        streak, last = 0, verdict
        period = self._spec.get("periodSeconds", 10)
        clock = asyncio.get_running_loop()
        due = clock.time()
        while True:
            result = await self.once()
            streak = streak + 1 if result.healthy == last else 1
            last = result.healthy
            if not last:
                on_failure(result.output)
            needed = self._spec.get("successThreshold", 1) if last else self._spec.get("failureThreshold", 3)
            if streak >= needed and last != verdict:
                verdict = last
                yield verdict
            due = max(due + period, clock.time())
            await asyncio.sleep(due - clock.time())

    async def once(self) -> Result:
        """Probe once."""
        limit = float(self._spec.get("timeoutSeconds", 1))
        try:
            if self._spec.get("exec"):
                return await self._exec(self._spec["exec"]["command"], limit)
            if self._spec.get("tcpSocket"):
                return await self._connect(limit)
            return await self._http(limit)
        except TimeoutError:
            return Result(False, self._timeout_text(limit))

    async def _exec(self, command: list[str], limit: float) -> Result:
        code, output = await self._run(command, limit)
        return Result(code == 0, output)

    async def _connect(self, limit: float) -> Result:
        host, port = self._target(self._spec["tcpSocket"])
        try:
            async with asyncio.timeout(limit):
                _, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            return Result(False, f"dial tcp {host}:{port}: connect: {_reason(error)}")
        writer.close()
        return Result(True, "")

    async def _http(self, limit: float) -> Result:
        spec = self._spec["httpGet"]
        host, port = self._target(spec)
        url = f"{spec.get('scheme', 'HTTP').lower()}://{host}:{port}{spec.get('path', '/')}"
        headers = {entry["name"]: entry["value"] for entry in spec.get("httpHeaders") or []}
        headers.setdefault("User-Agent", "kube-probe/1.34")
        timeout = aiohttp.ClientTimeout(total=limit)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, headers=headers, ssl=False, allow_redirects=False) as answer,
            ):
                if 200 <= answer.status < 400:
                    return Result(True, "")
                return Result(False, f"HTTP probe failed with statuscode: {answer.status}")
        except aiohttp.ClientConnectorError as error:
            return Result(False, f'Get "{url}": dial tcp {host}:{port}: connect: {_reason(error.os_error)}')
        except aiohttp.ClientError:
            return Result(False, f'Get "{url}": EOF')

    def _target(self, spec: Object) -> tuple[str, int]:
        port = spec["port"]
        if isinstance(port, str):
            ports = self._container.get("ports") or []
            port = next((entry["containerPort"] for entry in ports if entry.get("name") == port), 0)
        return spec.get("host") or self._address, int(port)

    def _timeout_text(self, limit: float) -> str:
        if self._spec.get("exec"):
            command = " ".join(self._spec["exec"]["command"])
            return f'command timed out: "{command}" timed out after {limit:g}s'
        host, port = self._target(self._spec.get("tcpSocket") or self._spec["httpGet"])
        return f"dial tcp {host}:{port}: i/o timeout"


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)
