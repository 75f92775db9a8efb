"""`lab run`: a command with the lab's environment and its own /etc/hosts.

This process turns into the command, so signals and the exit code pass by themselves. Before that it takes a mount
namespace of its own, where the lab's hosts file covers /etc/hosts: the names of Flexible Servers then resolve
for psql and everything else. Where namespaces are forbidden the command runs without them, and only clients that
honour KEYTURN_RESOLVE find the servers.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.control.environment import add_no_proxy
from lab.control.state import LabInfo, StateFolder
from lab.errors import NotFound
from lab.sandbox import mount_namespace


def command_environment(info: LabInfo, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: the caller's, the lab's over it, its tools first on the PATH."""
    path = os.pathsep.join(filter(None, [info.tools, base.get("PATH", os.defpath)]))
    return {**base, **add_no_proxy(info.environment, base), "PATH": path}


def become(argv: Sequence[str], info: LabInfo, folder: StateFolder) -> None:
    """Turn this process into `argv`; never returns.

    Raises:
        NotFound: there is no such command.
    """
    environment = command_environment(info, os.environ)
    if not mount_namespace.works(lambda: cover_hosts(folder.hosts_file)) or not cover_hosts(folder.hosts_file):
        print(
            "lab: namespaces are not allowed here, so the names of database servers do not resolve in this command. "
            "KEYTURN_RESOLVE has their address.",
            file=sys.stderr,
        )
    try:
        os.execvpe(argv[0], list(argv), environment)  # noqa: S606
    except FileNotFoundError:
        raise NotFound("command not found", name=argv[0], fix="give a command that is on the PATH") from None


def cover_hosts(hosts: Path) -> bool:
    """Lay `hosts` over /etc/hosts for this process and its children; False where that is forbidden."""
    return mount_namespace.unshare(mount_namespace.CLONE_NEWNS) and mount_namespace.mount_over(hosts, "/etc/hosts")
