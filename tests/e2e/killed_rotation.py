"""Runs a rotation and kills it, as `kill -9` does, before or after one of its writes to the outside world. Not a test.

Usage: killed_rotation.py {before|after} {N|WHAT} PARAMETERS-AS-JSON; at the nth write, or at the first called WHAT.
Only this script interferes; the product knows nothing.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from flows.rotate import rotate
from infra.azure.secrets import KeyVault
from infra.azure.servers import DatabaseServers
from infra.kubernetes.client import Cluster
from infra.postgres.database import Database

VAULT_WRITES = ("write", "set_enabled", "set_tags", "delete", "purge", "recover")


class Guillotine:
    """Counts the writes and falls at the nth, or at the first of a name."""

    def __init__(self, when: str, which: str) -> None:
        self.when, self.which, self.count = when, which, 0

    def around(self, what: str, write: Callable[[], Any]) -> Any:
        self.count += 1
        is_it = self.which in (what, str(self.count))
        if is_it and self.when == "before":
            self.fall(what)
        answer = write()
        if is_it:
            self.fall(what)
        return answer

    def fall(self, what: str) -> None:
        print(f"killed {self.when} {what}", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def install(guillotine: Guillotine) -> None:
    """Put it around every write to the vault, the database and the cluster that changes more than the lock."""
    for name in VAULT_WRITES:
        _guard(KeyVault, name, guillotine, lambda secret, *_, name=name: f"{name} {secret}")
    _guard(Database, "set_own_password", guillotine, lambda *_: "ALTER ROLE")
    _guard(DatabaseServers, "set_administrator_password", guillotine, lambda *_: "PATCH administrator")
    request = Cluster.request

    def guarded_request(self: Cluster, method: str, path: str, query: Any = None, *args: Any, **kwargs: Any) -> Any:
        if method == "GET" or "/leases" in path or "/selfsubject" in path or "dryRun" in (query or {}):
            return request(self, method, path, query, *args, **kwargs)
        return guillotine.around(f"{method} {path}", lambda: request(self, method, path, query, *args, **kwargs))

    Cluster.request = guarded_request  # type: ignore[method-assign]


def _guard(owner: type, method: str, guillotine: Guillotine, describe: Callable[..., str]) -> None:
    """Put the guillotine around a method; what it writes is described from the method's arguments."""
    write = getattr(owner, method)

    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        return guillotine.around(describe(*args), lambda: write(self, *args, **kwargs))

    setattr(owner, method, guarded)


if __name__ == "__main__":
    install(Guillotine(sys.argv[1], sys.argv[2]))
    state = rotate(**json.loads(sys.argv[3]), return_state=True)
    print(f"ended {state.message}", flush=True)
