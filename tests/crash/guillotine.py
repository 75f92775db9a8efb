"""The guillotine: counts what a rotation does to the outside world, and kills the process at one place of it.

It stands around the SDKs' own way out: each request to Key Vault and ARM, each request to the API server, each login
to the database and each statement. The lease's renewal by its own thread is left out: it comes by the clock.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import psycopg
from azure.core.pipeline.transport import RequestsTransport

from flows.rotate import Tasks
from infra.kubernetes.client import Cluster, described
from infra.postgres import handshake

LOCK, UNLOCK = "take the lock", "give the lock back"
KEEPER = "lease "
CHANGES = ("ALTER", "COMMIT", "CREATE", "DROP", "GRANT", "REASSIGN", "REVOKE")


class When(StrEnum):
    """When the process dies."""

    BEFORE = "before"
    """The request never leaves."""
    AFTER = "after"
    """It was carried out, and the process dies before it knows."""
    BOUNDARY = "boundary"
    """The step is over and the next one has not begun."""


FIRST_WRITE = "the first write"
"""Stands for a call's name in a cut: whichever write comes first in the step."""


@dataclass(frozen=True)
class Cut:
    """Where to die. Where the step ends without the call, the process dies there.

    Args:
        step: in which step.
        call: around which call of it.
        when: on which side of it.
        visit: how often the step was begun then.
        occurrence: how often the step made the call then.
    """

    step: str
    call: str
    when: When
    visit: int = 1
    occurrence: int = 1


@dataclass(frozen=True)
class Call:
    """One call to the outside world, as a run without a cut saw it.

    Args:
        step: the step that made it.
        visit: how often the step was begun then.
        name: what was called.
        occurrence: how often the step made this call then.
        writes: whether it may change something; the renewal of the lock does not count.
    """

    step: str
    visit: int
    name: str
    occurrence: int
    writes: bool


class Guillotine:
    """Follows one run.

    Args:
        cut: where it falls; None: it only counts.
        tell: told where it falls, at the last moment.
    """

    def __init__(self, cut: Cut | None, tell: Callable[[str], None]) -> None:
        self._cut, self._tell = cut, tell
        self._lock = threading.RLock()
        self._step, self._visits, self._made = LOCK, Counter([LOCK]), Counter[str]()
        self.calls: list[Call] = []

    @contextmanager
    def inside(self, step: str) -> Iterator[None]:
        """A step of the run, or a look at the world. What lies behind the last one releases the lock."""
        self._go_on(step)
        try:
            yield
        finally:
            self._go_on(UNLOCK)

    def _go_on(self, following: str) -> None:
        if self._step != UNLOCK and self._is_in_cut():
            self._fall("at the end of")
        self._step, self._made = following, Counter()
        self._visits[following] += 1

    def around(self, name: str, writes: bool, call: Callable[[], Any]) -> Any:
        """Make a call, unless this is where it falls."""
        if threading.current_thread().name.startswith(KEEPER):
            return call()
        made = self.begin(name, writes)
        answer = call()
        self.end(made)
        return answer

    def begin(self, name: str, writes: bool) -> Call:
        """Count a call that is about to be made."""
        with self._lock:
            self._made[name] += 1
            made = Call(self._step, self._visits[self._step], name, self._made[name], writes)
            self.calls.append(made)
            if self._is_here(made, When.BEFORE):
                self._fall(f"before {name} in")
            return made

    def end(self, made: Call) -> None:
        """A call was made."""
        with self._lock:
            if self._is_here(made, When.AFTER):
                self._fall(f"after {made.name} in")

    def _is_in_cut(self) -> bool:
        """Whether this is the step to die in; the lock is released once, whatever went before."""
        cut = self._cut
        if cut is None or not self._step.startswith(cut.step):
            return False
        return self._step == UNLOCK or self._visits[self._step] == cut.visit

    def _is_here(self, made: Call, when: When) -> bool:
        cut = self._cut
        if cut is None or cut.when is not when or not self._is_in_cut():
            return False
        return (made.writes and cut.call == FIRST_WRITE) or (made.name, made.occurrence) == (cut.call, cut.occurrence)

    def _fall(self, where: str) -> None:
        self._tell(f"{where} '{self._step}'")
        os.kill(os.getpid(), signal.SIGKILL)


def install(guillotine: Guillotine) -> ExitStack:
    """Put it around everything that goes out; the stack takes it away again."""
    stack = ExitStack()
    for owner, name, guarded in (
        (RequestsTransport, "send", _azure(guillotine)),
        (Cluster, "_send", _cluster(guillotine)),
        (handshake, "_open", _login(guillotine)),
        (psycopg.Connection, "execute", _statement(guillotine)),
        (psycopg.Connection, "_exec_command", _transaction(guillotine)),
        (Tasks, "observe", _stage(guillotine, "observe", Tasks.observe)),
        (Tasks, "begin_rollback", _stage(guillotine, "begin the rollback", Tasks.begin_rollback)),
        (Tasks, "perform", _step(guillotine)),
    ):
        stack.enter_context(patch.object(owner, name, guarded))
    return stack


def _azure(guillotine: Guillotine) -> Callable[..., Any]:
    send = RequestsTransport.send

    def guarded(self: RequestsTransport, request: Any, **kwargs: Any) -> Any:
        if "Authorization" not in request.headers:  # asks for a token, or for where to get one
            return send(self, request, **kwargs)
        url = urlsplit(request.url)
        parts = [part for part in url.path.split("/") if len(part) != 32]
        name = f"{request.method} {'/'.join(parts).strip('/') or url.hostname}"
        return guillotine.around(name, request.method != "GET", lambda: send(self, request, **kwargs))

    return guarded


def _cluster(guillotine: Guillotine) -> Callable[..., Any]:
    send = Cluster._send

    def guarded(self: Cluster, method: str, path: str, query: Any, *args: Any) -> Any:
        verb = "WATCH" if (query or {}).get("watch") else method
        name, writes = f"{verb} {described(path)}", method != "GET" and "/leases" not in path
        return guillotine.around(name, writes, lambda: send(self, method, path, query, *args))

    return guarded


def _login(guillotine: Guillotine) -> Callable[..., Any]:
    attempt = handshake._open
    return lambda *args: guillotine.around("log in", False, lambda: attempt(*args))


def _statement(guillotine: Guillotine) -> Callable[..., Any]:
    execute = psycopg.Connection.execute

    def guarded(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        words = (query if isinstance(query, str) else query.as_string(self)).split()
        name = " ".join(words[:2])
        return guillotine.around(name, words[0] in CHANGES, lambda: execute(self, query, *args, **kwargs))

    return guarded


def _transaction(guillotine: Guillotine) -> Callable[..., Any]:
    carry_out = psycopg.Connection._exec_command

    def guarded(self: Any, command: Any, *args: Any) -> Iterator[Any]:
        name = bytes(command).decode().split()[0] if isinstance(command, bytes) else str(command).split()[0]
        made = guillotine.begin(name, name in CHANGES)
        yield from carry_out(self, command, *args)
        guillotine.end(made)

    return guarded


def _stage(guillotine: Guillotine, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: Tasks, *args: Any) -> Any:
        with guillotine.inside(name):
            return method(self, *args)

    return guarded


def _step(guillotine: Guillotine) -> Callable[..., Any]:
    perform = Tasks.perform

    def guarded(self: Tasks, plan: Any, step: Any) -> None:
        with guillotine.inside(str(step)):
            perform(self, plan, step)

    return guarded
