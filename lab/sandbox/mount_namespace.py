"""A mount namespace for a process that is about to become a command, so that it has its own /etc/hosts.

By system calls alone: no process stays between the caller and the command, as one does in `lab.sandbox.sandboxes`. See
unshare(2), mount(2) and user_namespaces(7).
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x4_0000
SWITCH = "KEYTURN_LAB_SANDBOX"
"""Set to `mapped`, it forbids namespaces, as machines do that have none."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def works(attempt: Callable[[], bool]) -> bool:
    """Try something in a child: a namespace that was made but may not be used cannot be left again."""
    child = os.fork()
    if child == 0:
        os._exit(0 if attempt() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def unshare(flags: int) -> bool:
    """Leave the namespaces of the caller; False where that is forbidden.

    Root does it as it is; everybody else in a user namespace in which they stay who they are.
    """
    if os.environ.get(SWITCH) == "mapped":
        return False
    libc = _libc()
    if os.geteuid() == 0 and libc.unshare(flags) == 0:
        return True
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER | flags) != 0:
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    except OSError:
        return False
    return True


def mount_over(source: Path, target: str) -> bool:
    """Lay a file over another, for this mount namespace alone; False where that is forbidden."""
    libc = _libc()
    if libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return False
    return bool(libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND, None) == 0)
