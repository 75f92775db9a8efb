"""`lab run`: a command with the lab's environment and its own /etc/hosts.

This process turns into the command, so signals and the exit code pass by themselves. Before that it takes a mount
namespace of its own, where the lab's hosts file covers /etc/hosts: the names of Flexible Servers then resolve
for psql and everything else. Where namespaces are forbidden the command runs without them, and only clients that
honour KEYTURN_RESOLVE find the servers.
"""

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.errors import NotFound
from infra.lab.state import LabInfo, StateFolder

CLONE_NEWNS, CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x4_0000


def command_environment(info: LabInfo, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: the caller's, the lab's over it, its tools first on the PATH."""
    path = os.pathsep.join(filter(None, [info.tools, base.get("PATH", os.defpath)]))
    return {**base, **info.environment, "PATH": path}


def become(argv: Sequence[str], info: LabInfo, folder: StateFolder) -> None:
    """Turn this process into `argv`; never returns.

    Raises:
        NotFound: there is no such command.
    """
    environment = command_environment(info, os.environ)
    if not _can_cover(folder.hosts_file) or not cover_hosts(folder.hosts_file):
        print(
            "keyturn lab: namespaces are forbidden here, so the names of database servers do not resolve in this "
            "command; see KEYTURN_RESOLVE for their address.",
            file=sys.stderr,
        )
    try:
        os.execvpe(argv[0], list(argv), environment)  # noqa: S606
    except FileNotFoundError:
        raise NotFound("no such command", name=argv[0], remedy="give a command that is on the PATH") from None


def _can_cover(hosts: Path) -> bool:
    """Try it in a child: a namespace that was made but may not be used cannot be left again."""
    child = os.fork()
    if child == 0:
        os._exit(0 if cover_hosts(hosts) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def cover_hosts(hosts: Path) -> bool:
    """Lay `hosts` over /etc/hosts for this process and its children; False where that is forbidden."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0 and libc.unshare(CLONE_NEWNS) == 0:
        return _mount_over(libc, hosts)
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0:
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    except OSError:
        return False
    return _mount_over(libc, hosts)


def _mount_over(libc: ctypes.CDLL, hosts: Path) -> bool:
    if libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return False
    return bool(libc.mount(os.fsencode(hosts), b"/etc/hosts", None, MS_BIND, None) == 0)
