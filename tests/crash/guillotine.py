"""The guillotine: counts what a rotation does to the outside world, and kills the process at one point of it.

It wraps the SDKs' own exits: each request to Key Vault and ARM, each request to the API server, each login to the
database and each statement. The renewal of the lease by its own thread is left out: the clock decides when it comes.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import psycopg
from azure.core.pipeline.transport import RequestsTransport

from flows.rotate import TaskExecutor
from infra.kubernetes.client import Cluster, described
from infra.postgres import handshake

LOCK, UNLOCK = "acquire the lock", "release the lock"
OBSERVE, BEGIN_ROLLBACK = "observe", "begin the rollback"
LEASE_THREAD = "lease "
CHANGES = ("ALTER", "COMMIT", "CREATE", "DROP", "GRANT", "REASSIGN", "REVOKE")


class When(StrEnum):
    """When the process dies."""

    BEFORE = "before"
    """The request never leaves."""
    AFTER = "after"
    """The request was executed, and the process dies before it knows."""
    BOUNDARY = "boundary"
    """The step is over and the next one has not started."""


FIRST_WRITE = "the first write"
"""Stands for a call's name in a kill point: the step's first write, whatever it is."""


@dataclass(frozen=True)
class KillPoint:
    """Where to die. If the step ends without the call, the process dies at its end.

    Args:
        step: how the step's line starts.
        call: around which call of it.
        when: on which side of it.
        visit: which start of the step; the first is 1.
        occurrence: which of the step's calls of this name; the first is 1.
    """

    step: str
    call: str
    when: When
    visit: int = 1
    occurrence: int = 1


@dataclass(frozen=True)
class Call:
    """One call to the outside world, as seen by a run that was not killed.

    Args:
        step: the step that made it.
        visit: how often the step had started by then.
        name: what was called.
        occurrence: how often the step had made this call by then.
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
        point: where the process is killed; None: calls are only counted.
        report: told where, at the last moment.
    """

    def __init__(self, point: KillPoint | None, report: Callable[[str], None]) -> None:
        self._point, self._report = point, report
        self._lock = threading.RLock()
        self._step, self._visits, self._made = LOCK, Counter([LOCK]), Counter[str]()
        self.calls: list[Call] = []

    @contextmanager
    def inside(self, step: str) -> Iterator[None]:
        """A step of the run, or an observation. What comes after the last one releases the lock."""
        self._enter(step)
        try:
            yield
        finally:
            self._enter(UNLOCK)

    def _enter(self, step: str) -> None:
        if self._step != UNLOCK and self._is_at_step():
            self._kill("at the end of")
        self._step, self._made = step, Counter()
        self._visits[step] += 1

    def around(self, name: str, writes: bool, call: Callable[[], Any]) -> Any:
        """Make a call, unless this is where the process is killed."""
        if threading.current_thread().name.startswith(LEASE_THREAD):
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
            if self._is_at(made, When.BEFORE):
                self._kill(f"before {name} in")
            return made

    def end(self, made: Call) -> None:
        """Note that a call was made."""
        with self._lock:
            if self._is_at(made, When.AFTER):
                self._kill(f"after {made.name} in")

    def _is_at_step(self) -> bool:
        """Whether this is the step to die in. The lock is released once, so its visits do not count."""
        point = self._point
        if point is None or not self._step.startswith(point.step):
            return False
        return self._step == UNLOCK or self._visits[self._step] == point.visit

    def _is_at(self, made: Call, when: When) -> bool:
        point = self._point
        if point is None or point.when is not when or not self._is_at_step():
            return False
        is_first_write = made.writes and point.call == FIRST_WRITE
        return is_first_write or (made.name, made.occurrence) == (point.call, point.occurrence)

    def _kill(self, where: str) -> None:
        self._report(f"{where} '{self._step}'")
        os.kill(os.getpid(), signal.SIGKILL)


def install(guillotine: Guillotine) -> ExitStack:
    """Wrap everything that leaves the process; the stack unwraps it."""
    stack = ExitStack()
    observe, begin_rollback = TaskExecutor.observe, TaskExecutor.begin_rollback
    for owner, name, guarded in (
        (RequestsTransport, "send", _azure(guillotine)),
        (Cluster, "_send", _cluster(guillotine)),
        (handshake, "_open", _login(guillotine)),
        (psycopg.Connection, "execute", _statement(guillotine)),
        (psycopg.Connection, "_exec_command", _transaction(guillotine)),
        (TaskExecutor, "observe", _stage(guillotine, OBSERVE, observe)),
        (TaskExecutor, "begin_rollback", _stage(guillotine, BEGIN_ROLLBACK, begin_rollback)),
        (TaskExecutor, "execute", _step(guillotine)),
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
        name, writes = f"{verb} {described(path)}", method != "GET" and not _changes_nothing(path, query or {})
        return guillotine.around(name, writes, lambda: send(self, method, path, query, *args))

    return guarded


def _changes_nothing(path: str, query: Mapping[str, Any]) -> bool:
    """Whether a request other than GET leaves everything as it is, but for the lock."""
    return "/leases" in path or "/selfsubject" in path or "dryRun" in query


def _login(guillotine: Guillotine) -> Callable[..., Any]:
    attempt = handshake._open
    return lambda *args: guillotine.around("log in", False, lambda: attempt(*args))


def _statement(guillotine: Guillotine) -> Callable[..., Any]:
    execute = psycopg.Connection.execute

    def guarded(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        text = query if isinstance(query, str | bytes) else query.as_string(self)
        words = (text.decode() if isinstance(text, bytes) else text).split()
        name = " ".join(words[:2])
        return guillotine.around(name, words[0] in CHANGES, lambda: execute(self, query, *args, **kwargs))

    return guarded


def _transaction(guillotine: Guillotine) -> Callable[..., Any]:
    execute = psycopg.Connection._exec_command

    def guarded(self: Any, command: Any, *args: Any) -> Iterator[Any]:
        name = bytes(command).decode().split()[0] if isinstance(command, bytes) else str(command).split()[0]
        made = guillotine.begin(name, name in CHANGES)
        yield from execute(self, command, *args)
        guillotine.end(made)

    return guarded


def _stage(guillotine: Guillotine, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: TaskExecutor, *args: Any) -> Any:
        with guillotine.inside(name):
            return method(self, *args)

    return guarded


def _step(guillotine: Guillotine) -> Callable[..., Any]:
    execute = TaskExecutor.execute

    def guarded(self: TaskExecutor, plan: Any, step: Any) -> None:
        with guillotine.inside(str(step)):
            execute(self, plan, step)

    return guarded
