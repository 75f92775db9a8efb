"""How many requests each kind of speaker sent to each host: what a client costs its services."""

from collections import Counter
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


class Requests:
    """Counts requests, refused ones included.

    Args:
        get_speaker: says who sent a request: "operator", "vm" or "pod".
    """

    def __init__(self, get_speaker: Callable[[web.Request], str]) -> None:
        self._get_speaker = get_speaker
        self._counts: dict[str, Counter[str]] = {}
        self.observers: list[Callable[[web.Request, web.StreamResponse], None]] = []
        """They are told each request and its answer."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Speaker -> host -> requests since the lab began."""
        return {speaker: dict(hosts) for speaker, hosts in self._counts.items()}

    @property
    def middleware(self) -> Middleware:
        """The aiohttp middleware that counts."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._counts.setdefault(self._get_speaker(request), Counter())[request.url.host or ""] += 1
            answer = await handler(request)
            for observe in self.observers:
                observe(request, answer)
            return answer

        return count
