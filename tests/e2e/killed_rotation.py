"""Runs a rotation and kills it, as `kill -9` does, around one of its writes to the outside world. Not a test.

Usage: killed_rotation.py {before|after} {N|WHAT} OPTIONS-AS-JSON [TARGET-AS-JSON]; the nth write, or the first WHAT.
Only this script interferes; the product knows nothing.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from flows.rotate import rotate
from infra.azure.secrets import Secrets
from infra.kubernetes.client import Cluster
from infra.targets import RotationOptions, Target
from tasks import administrator, database

WRITES = ("write", "set_enabled", "set_tags", "delete", "purge", "recover")


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
    """Put it around every write to vault, database and cluster, the renewal of the lock excepted."""
    for name in WRITES:
        setattr(Secrets, name, _guarded(getattr(Secrets, name), name, guillotine))
    request = Cluster.request

    def guarded_request(self: Cluster, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        if method == "GET" or "/leases" in path:
            return request(self, method, path, *args, **kwargs)
        return guillotine.around(f"{method} {path}", lambda: request(self, method, path, *args, **kwargs))

    change = database.set_password
    database.set_password = lambda *args: guillotine.around("ALTER ROLE", lambda: change(*args))
    patch = administrator.set_administrator_password
    administrator.set_administrator_password = lambda *args: guillotine.around(
        "PATCH administrator", lambda: patch(*args)
    )
    Cluster.request = guarded_request  # type: ignore[method-assign]


def _guarded(write: Callable[..., Any], name: str, guillotine: Guillotine) -> Callable[..., Any]:
    def guarded(self: Secrets, secret: str, *args: Any, **kwargs: Any) -> Any:
        return guillotine.around(f"{name} {secret}", lambda: write(self, secret, *args, **kwargs))

    return guarded


if __name__ == "__main__":
    install(Guillotine(sys.argv[1], sys.argv[2]))
    target = Target.model_validate_json(sys.argv[4]) if sys.argv[4:] else Target()
    state = rotate(target, RotationOptions.model_validate_json(sys.argv[3]), return_state=True)
    print(f"ended {state.name}", flush=True)
