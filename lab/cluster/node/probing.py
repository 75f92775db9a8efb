"""What the probes of a running container decide: started, ready, or to be restarted."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lab.cluster.client import Object
from lab.cluster.node.probes import Probe, Run


@dataclass(frozen=True)
class Verdicts:
    """Who is told.

    Args:
        on_started: the startup probe has succeeded, or there is none.
        on_ready: the container is ready, or no longer.
        on_failure: the texts of probes that failed.
        restart: ends the container, since a probe says so; given the probe's kind.
    """

    on_started: Callable[[], None]
    on_ready: Callable[[bool], None]
    on_failure: Callable[[str], None]
    restart: Callable[[str], Awaitable[None]]


class Probing:
    """The probes of one running container.

    Args:
        spec: the container as the pod has it.
        address: the pod's address.
        run: runs commands in the container.
        verdicts: who is told.
    """

    def __init__(self, spec: Object, address: str, run: Run, verdicts: Verdicts) -> None:
        self._spec, self._address, self._run, self._verdicts = spec, address, run, verdicts

    async def watch(self) -> None:
        """Probe until cancelled: the startup probe first, then the others side by side."""
        if self._spec.get("startupProbe") and not await self._has_started():
            return
        self._verdicts.on_started()
        if not self._spec.get("readinessProbe"):
            self._verdicts.on_ready(True)
        await asyncio.gather(self._watch_readiness(), self._watch_liveness())

    def _probe(self, field: str) -> Probe:
        return Probe(self._spec[field], self._spec, self._address, self._run)

    async def _has_started(self) -> bool:
        async for healthy in self._probe("startupProbe").verdicts(None, self._failure("Startup")):
            if not healthy:
                await self._verdicts.restart("startup")
            return healthy
        return False

    async def _watch_readiness(self) -> None:
        if self._spec.get("readinessProbe"):
            async for healthy in self._probe("readinessProbe").verdicts(False, self._failure("Readiness")):
                self._verdicts.on_ready(healthy)

    async def _watch_liveness(self) -> None:
        if self._spec.get("livenessProbe"):
            async for healthy in self._probe("livenessProbe").verdicts(True, self._failure("Liveness")):
                if not healthy:
                    await self._verdicts.restart("liveness")

    def _failure(self, name: str) -> Callable[[str], None]:
        return lambda output: self._verdicts.on_failure(f"{name} probe failed: {output}")
