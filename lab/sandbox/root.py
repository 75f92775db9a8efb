"""The inside of a sandbox: namespaces, mounts, and a root built from the machine's programs.

Used by the sandbox's own process only, whose start it must not make longer: `lab.sandbox.child` says why.
"""

from __future__ import annotations

import ctypes
import os
from os.path import exists, isdir, islink, ismount, join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Spec = dict[str, Any]
    """What the lab asks for; `lab.sandbox.sandboxes` writes it."""

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x0002_0000, 0x0400_0000, 0x0800_0000
CLONE_NEWUSER, CLONE_NEWPID = 0x1000_0000, 0x2000_0000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    0x1000,
    0x4000,
    1 << 18,
)
LOCKED = {1024: 1024, 2048: 2048, 4096: 1 << 21} | {flag: flag for flag in (MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC)}
"""statvfs flag -> mount flag, of what a less privileged mount may not take away."""
SYSTEM_FOLDERS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "sys", "dev", "nix")
libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: Any) -> None:
    """A libc function; raises OSError when it fails."""
    if getattr(libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    call("mount", encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])


def bind(source: str, target: str, read_only: bool) -> None:
    """Show `source` at `target`, which is made if it is missing."""
    if isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not exists(target):  # one that is there may lie in what was bound read-only before
        os.makedirs(os.path.dirname(target), exist_ok=True)
        write(target, "")
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        seen = os.statvfs(target).f_flag
        kept = sum(flag for bit, flag in LOCKED.items() if seen & bit)
        mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def write(path: str, text: str) -> None:
    """Make a file, or write it anew."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def take_namespaces(spec: Spec) -> None:
    """Leave the machine's mounts, pids, host name and shared memory, by a user namespace where we are not root."""
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC
    if spec["isolation"] == "root":
        call("unshare", flags)
    else:
        uid, gid = os.geteuid(), os.getegid()
        call("unshare", flags | CLONE_NEWUSER)
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{spec['uid']} {uid} 1")
        write("/proc/self/gid_map", f"{spec['gid']} {gid} 1")
    mount(None, "/", None, MS_REC | MS_PRIVATE)


def build_root(spec: Spec) -> str:
    """A root on a tmpfs: the machine's programs, an /etc with our own files over it, and the mounts asked for."""
    root: str = spec["root"]
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    for name in SYSTEM_FOLDERS:
        _show_system_folder(root, name)
    for name in (
        "tmp",
        "run/lock",
        "run/postgresql",
        "var/lib/postgresql",
        "var/tmp",
        "var/log",
        "home",
        "root",
        "proc",
    ):
        os.makedirs(join(root, name), exist_ok=True)
    os.symlink("../run", join(root, "var/run"))
    os.chmod(join(root, "tmp"), 0o1777)  # noqa: S103
    _build_etc(root, spec["etc"])
    mount("tmpfs", join(root, "dev/shm"), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for entry in spec["binds"]:
        bind(entry["source"], root + entry["target"], entry["read_only"])
    os.makedirs(root + spec["cwd"], exist_ok=True)
    if spec["isolation"] == "root":
        _give_away(root, spec)
    return root


def _show_system_folder(root: str, name: str) -> None:
    source = f"/{name}"
    if islink(source):
        os.symlink(os.readlink(source), join(root, name))
    elif isdir(source):
        bind(source, join(root, name), read_only=name not in ("dev", "sys"))


def _build_etc(root: str, files: dict[str, str]) -> None:
    hidden, etc = join(root, ".etc"), join(root, "etc")
    os.mkdir(hidden)
    mount("/etc", hidden, None, MS_BIND | MS_REC)
    os.mkdir(etc)
    for name in os.listdir(hidden):
        if name not in files:
            os.symlink(f"../.etc/{name}", join(etc, name))
    for name, text in files.items():
        write(join(etc, name), text)


def _give_away(root: str, spec: Spec) -> None:
    for name in (
        "",
        "tmp",
        "run",
        "run/lock",
        "run/postgresql",
        "var",
        "var/lib",
        "var/lib/postgresql",
        "var/tmp",
        "home",
    ):
        os.chown(join(root, name), spec["uid"], spec["gid"])
    if not ismount(root + spec["cwd"]):
        os.chown(root + spec["cwd"], spec["uid"], spec["gid"])


def mount_proc(root: str) -> None:
    """The own pids at /proc; a machine that masks parts of /proc forbids that and gets its own /proc again."""
    try:
        mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except PermissionError:
        mount("/proc", f"{root}/proc", None, MS_BIND | MS_REC)
