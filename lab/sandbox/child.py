"""What runs between the lab and a sandboxed command; a program of its own that needs the standard library alone.

Its `main`, given SPEC_FD and REPORT_FD, reads what to do, takes namespaces, builds a root, forks pid 1, drops all
rights and becomes the command. The outer process stays and mirrors the exit code. Whichever process above dies takes
everything below with it. A line on REPORT_FD tells the pid, or the code of what failed and what is to say of it.

Every container, probe and exec of the lab starts here, and most of that is imports: those that Python has not made
already when it starts, such as pathlib, json and signal, are three quarters of it. So it does without most of them.
Inside the new root none can be made any more.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import sys
import termios
import warnings  # noqa: F401  os.execvpe imports it, which is too late inside the new root

from lab.sandbox.root import build_root, call, libc, mount_proc, take_namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from lab.sandbox.root import Spec

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
SIGINT, SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ, SIG_DFL = 2, 9, 13, 15, 25, 0


def die_with_parent(parent: int, with_signal: int = SIGKILL) -> None:
    """Be killed when the parent dies; must follow every change of user, which clears it."""
    call("prctl", PR_SET_PDEATHSIG, with_signal, 0, 0, 0)
    if parent and os.getppid() != parent:
        os._exit(137)


def drop_rights(spec: Spec) -> None:
    """Become the unprivileged user; capabilities go with execve, since that user is never 0."""
    if spec["isolation"] == "root" or (spec["isolation"] == "mapped" and spec["drop"]):
        os.setgroups([])
        os.setresgid(spec["gid"], spec["gid"], spec["gid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    if spec["isolation"] != "mapped":
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def become(spec: Spec, report: int) -> NoReturn:
    """Turn into the command; what fails is reported."""
    os.setsid()
    if spec["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    try:
        os.chdir(spec["cwd"])
    except OSError:
        os.chdir("/")
    for number in (SIGPIPE, SIGINT, SIGXFSZ):
        libc.signal(number, SIG_DFL)
    try:
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606
    except FileNotFoundError:
        fail(report, "not-found", spec["argv"][0], 127)
    except OSError as error:
        fail(report, "not-executable", str(error.strerror), 126)


def fail(report: int, kind: str, detail: str, code: int) -> NoReturn:
    """Report what failed and end."""
    os.write(report, f"{kind} {' '.join(detail.split())}\n".encode())
    os._exit(code)


def split(
    report: int, inner: Callable[[], NoReturn], parent: int = 0, at_end: Callable[[], None] = lambda: None
) -> NoReturn:
    """Fork `inner` and stay as its parent, mirroring how it ends.

    `parent` is our pid as the child sees it: 0 from within another pid namespace.
    """
    child = os.fork()
    if child == 0:
        libc.signal(SIGTERM, SIG_DFL)
        try:
            die_with_parent(parent)
            inner()
        except BaseException as error:
            fail(report, "setup", f"{type(error).__name__}: {error}", 125)
    os.write(report, b"pid %d\n" % child)
    for number in (report, 0, 1, 2):
        os.close(number)
    code = mirror(child)
    at_end()
    os._exit(code)


def mirror(child: int) -> int:
    """Wait until the child has ended; orphans that fall to us are reaped on the way."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def start(spec: Spec, report: int) -> NoReturn:
    """A new sandbox with the command as its pid 1."""
    take_namespaces(spec)
    root = build_root(spec)

    def inner() -> NoReturn:
        call("sethostname", os.fsencode(spec["hostname"]), len(os.fsencode(spec["hostname"])))
        mount_proc(root)
        os.chdir(root)
        os.chroot(".")
        drop_rights(spec)
        die_with_parent(0)
        become(spec, report)

    split(report, inner)


def enter(spec: Spec, report: int) -> NoReturn:
    """The command in the sandbox whose pid 1 is `spec["target"]`."""
    process = f"/proc/{spec['target']}"
    root = os.open(f"{process}/root", os.O_RDONLY | os.O_DIRECTORY)
    kinds = ("user",) if spec["isolation"] == "user" else ()
    handles = [os.open(f"{process}/ns/{kind}", os.O_RDONLY) for kind in (*kinds, "uts", "ipc", "pid", "mnt")]
    for handle in handles:
        call("setns", handle, 0)
        os.close(handle)

    def inner() -> NoReturn:
        os.fchdir(root)
        os.chroot(".")
        os.close(root)
        drop_rights(spec)
        die_with_parent(0)
        become(spec, report)

    split(report, inner)


def run_mapped(spec: Spec, report: int) -> NoReturn:
    """The command without namespaces; all of its descendants are ended when it or the lab ends."""
    import shutil
    import signal

    call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def inner() -> NoReturn:
        drop_rights(spec)
        die_with_parent(0)
        become(spec, report)

    def clean_up() -> None:
        end_descendants()
        for folder in spec["remove"]:
            shutil.rmtree(folder, ignore_errors=True)

    def leave(*_: object) -> NoReturn:
        clean_up()
        os._exit(137)

    signal.signal(signal.SIGTERM, leave)
    die_with_parent(spec["parent"], signal.SIGTERM)
    split(report, inner, os.getpid(), clean_up)


def end_descendants() -> None:
    """Kill children until none is left; theirs become ours, since we are their reaper."""
    while True:
        try:
            with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
                children = file.read().split()
            for child in children:
                os.kill(int(child), SIGKILL)
            os.wait()
        except ChildProcessError:
            return
        except ProcessLookupError:
            continue


def main() -> NoReturn:
    """Read the spec and carry it out."""
    report = int(sys.argv[2])
    os.set_inheritable(report, False)
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        spec: Spec = marshal.load(file)  # noqa: S302  the lab wrote it
    try:
        die_with_parent(spec["parent"])
        os.setsid()
        actions = {"start": start, "enter": enter, "mapped": run_mapped}
        actions[spec["action"]](spec, report)
    except OSError as error:
        fail(report, "setup", str(error), 125)
