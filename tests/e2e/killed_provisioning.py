"""Runs a provisioning and kills it, as `kill -9` does, before or after its nth resource is made. Not a test.

Usage: killed_provisioning.py {before|after} N. Only this script interferes; the product knows nothing.
"""

import itertools
import os
import signal
import sys
from typing import Any

from flows.provision import provision
from tasks.provisioning import reconcile


def install(when: str, nth: int) -> None:
    """Put the guillotine around every resource that is made."""
    make, numbers = reconcile.make, itertools.count(1)

    def guarded(*arguments: Any) -> Any:
        number = next(numbers)
        if when == "before" and number == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        made = make(*arguments)
        if when == "after" and number == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    reconcile.make = guarded


if __name__ == "__main__":
    install(sys.argv[1], int(sys.argv[2]))
    provision("walkthrough", dry_run=False)
    print("ended", flush=True)
