"""Faults that can be asked of the lab: HTTP answers by host and path, and named switches.

Rules act on every HTTP service of the lab through `Faults.middleware`; the switches are read by the parts that
they name.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from lab.control.switches import SWITCHES

SKEW = timedelta(minutes=1)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fault:
    """What happens to a matching request.

    Args:
        host: glob for the host, without its port.
        path: glob for the path, without the query; `*` crosses slashes.
        method: HTTP method, or `*`.
        status: status of the answer; 0 lets the request through after the delay.
        headers: headers of the answer.
        body: body of the answer, as text.
        delay_seconds: how long the request is held first.
        times: how many requests it acts on; None for all of them.
        late: whether the request is carried out first, and its own answer lost.
    """

    host: str = "*"
    path: str = "*"
    method: str = "*"
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    delay_seconds: float = 0.0
    times: int | None = None
    late: bool = False

    def matches(self, method: str, host: str, path: str) -> bool:
        """Whether a request is meant."""
        return (
            self.method in ("*", method)
            and fnmatchcase(host.lower(), self.host.lower())
            and fnmatchcase(path, self.path)
        )


class Faults:
    """The rules and switches that are on."""

    def __init__(self) -> None:
        self._rules: dict[int, Fault] = {}
        self._left: dict[int, int] = {}
        self._next = 1
        self._on: set[str] = set()
        self._followers: dict[str, list[Callable[[bool], object]]] = {}

    def add(self, fault: Fault) -> int:
        """Add a rule and return its number; of several that match, the oldest acts."""
        number, self._next = self._next, self._next + 1
        self._rules[number] = fault
        if fault.times is not None:
            self._left[number] = fault.times
        return number

    def list(self) -> dict[int, Fault]:
        """The rules by number, without those that are used up."""
        return dict(self._rules)

    def clear(self, number: int | None = None) -> None:
        """Take a rule away; without a number all rules and all switches."""
        if number is None:
            self._rules.clear()
            self._left.clear()
            for name in sorted(self._on):
                self.switch(name, False)
        else:
            self._rules.pop(number, None)
            self._left.pop(number, None)

    def switch(self, name: str, on: bool) -> None:
        """Turn a named switch on or off.

        Raises:
            ValueError: there is no switch of this name.
        """
        if name not in SWITCHES:
            raise ValueError(f"no switch {name!r}; there are {', '.join(sorted(SWITCHES))}")
        if on == self.is_on(name):
            return
        if on:
            self._on.add(name)
        else:
            self._on.discard(name)
        for act in self._followers.get(name, ()):
            act(on)

    def follow(self, name: str, act: Callable[[bool], object]) -> None:
        """Call `act` whenever a named switch is turned on or off."""
        self._followers.setdefault(name, []).append(act)

    def when_on(self, name: str, act: Callable[[], object]) -> None:
        """Call `act` whenever a named switch is turned on."""
        self.follow(name, lambda on: act() if on else None)

    def now(self) -> datetime:
        """The time by Azure's clock, which may be a minute off."""
        ahead, behind = self.is_on("azure-clock-ahead"), self.is_on("azure-clock-behind")
        return datetime.now(UTC) + SKEW * (ahead - behind)

    def is_on(self, name: str) -> bool:
        """Whether a named switch is on."""
        return name in self._on

    def switches(self) -> frozenset[str]:
        """The switches that are on."""
        return frozenset(self._on)

    def take(self, method: str, host: str, path: str) -> Fault | None:
        """The rule that acts on a request, used up by one."""
        for number, fault in self._rules.items():
            if fault.matches(method, host, path):
                self._use(number)
                return fault
        return None

    def _use(self, number: int) -> None:
        if number in self._left:
            self._left[number] -= 1
            if self._left[number] <= 0:
                self.clear(number)

    @property
    def middleware(self) -> Middleware:
        """The aiohttp middleware that carries the rules out."""

        @web.middleware
        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            host = (request.host or "").rsplit(":", 1)[0]
            fault = self.take(request.method, host, request.path)
            if fault is None:
                return await handler(request)
            _log.info("fault %s acts on %s %s%s", fault.status or "delay", request.method, host, request.path)
            if fault.delay_seconds:
                await asyncio.sleep(fault.delay_seconds)
            if not fault.status:
                return await handler(request)
            if fault.late:
                await handler(request)
            return web.Response(status=fault.status, headers=dict(fault.headers), text=fault.body)

        return act

    def outage(self, name: str) -> Middleware:
        """Make the aiohttp middleware that cuts every connection while a switch is on, as if nobody listened."""

        @web.middleware
        async def cut(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self.is_on(name):
                return await handler(request)
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)

        return cut
