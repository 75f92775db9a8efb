"""Runs one script as a virtual machine does: `python -m infra.lab.machine_shell HOSTS SCRIPT`.

A process of its own, since namespaces belong to a process. The script is pid 1 of its namespace, so whatever it
leaves in the background ends with it; and it ends when the lab does.
"""

import os
import sys
from pathlib import Path

from infra.lab import isolation

SHELL = "/bin/sh"


def _isolate(hosts: Path) -> bool:
    flags = isolation.CLONE_NEWNS | isolation.CLONE_NEWPID
    return isolation.unshare(flags) and isolation.mount_over(hosts, "/etc/hosts")


def main() -> int:
    """Run the script and return its exit code; without namespaces where they are forbidden."""
    hosts, script = Path(sys.argv[1]), sys.argv[2]
    isolation.die_with_parent()
    isolated = isolation.works(lambda: _isolate(hosts)) and _isolate(hosts)
    child = os.fork()
    if child == 0:
        isolation.die_with_parent()
        if isolated:
            isolation.mount_proc()
        os.execv(SHELL, [SHELL, script])  # noqa: S606
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
