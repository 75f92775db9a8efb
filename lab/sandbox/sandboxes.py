"""Commands in a world of their own: mounts, pids, host name and /etc/hosts, without root and without a runtime.

What can be had is found out once (`Sandboxes.detect`): namespaces as root, user namespaces, or, where both are
forbidden, none: then commands run on the machine itself and mounted paths, and `localhost`, are rewritten in
their arguments and environment. KEYTURN_LAB_SANDBOX=root|user|mapped decides it beforehand.
"""

import contextlib
import os
import pwd
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from lab.sandbox.process import Process, SandboxFailed, spawn

UNPRIVILEGED = 61750
"""uid and gid of what runs in a sandbox, where root started the lab: nobody else's."""
SWITCH = "KEYTURN_LAB_SANDBOX"

__all__ = ["Bind", "Isolation", "Process", "SandboxFailed", "Sandboxes", "World", "map_argument", "map_text"]


class Isolation(StrEnum):
    """How a sandbox is made."""

    ROOT = "root"
    """Namespaces, taken as root; the command runs as an unprivileged user."""
    USER = "user"
    """Namespaces inside a user namespace of its own."""
    MAPPED = "mapped"
    """None: paths are rewritten."""


@dataclass(frozen=True)
class Bind:
    """A file or folder of the machine shown inside.

    Args:
        source: where it is on the machine.
        target: absolute path inside.
        read_only: whether it can be written there.
    """

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class World:
    """What a sandboxed command sees.

    Args:
        folder: an existing folder on the machine that is the sandbox's own.
        hostname: its host name.
        address: what localhost means inside.
        user: the name of the user that commands run as.
        cwd: the working directory.
        binds: what is shown inside besides the machine's programs.
        hosts: more names for /etc/hosts, name -> address.
        drop: whether root must not run the first process where there are no namespaces (PostgreSQL refuses root).
        remove: folders that go with the first process, where there are no namespaces.
    """

    folder: Path
    hostname: str
    address: str
    user: str = "app"
    cwd: str = "/"
    binds: tuple[Bind, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    remove: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Sandboxes:
    """Makes sandboxes in one way."""

    isolation: Isolation

    @classmethod
    async def detect(cls, environment: Mapping[str, str] | None = None) -> "Sandboxes":
        """Find out what this machine allows, by trying it.

        Args:
            environment: where KEYTURN_LAB_SANDBOX is looked for; None means the process' own.
        """
        wanted = (os.environ if environment is None else environment).get(SWITCH)
        if wanted:
            return cls(Isolation(wanted))
        tried = [Isolation.ROOT, Isolation.USER] if os.geteuid() == 0 else [Isolation.USER]
        for isolation in tried:
            with tempfile.TemporaryDirectory() as folder, contextlib.suppress(SandboxFailed):
                world = World(Path(folder), "probe", "127.0.0.1")
                process = await cls(isolation).start(world, ["true"], {"PATH": os.defpath})
                if await process.wait() == 0:
                    return cls(isolation)
        return cls(Isolation.MAPPED)

    async def start(self, world: World, argv: Sequence[str], env: Mapping[str, str], **streams: Any) -> Process:
        """Start a command as the first process of a new sandbox.

        Args:
            world: what it sees.
            argv: the command.
            env: its whole environment.
            streams: stdin, stdout, stderr as for asyncio's subprocesses; nothing and nowhere by default.

        Raises:
            SandboxFailed: the command does not exist, or the sandbox cannot be made.
        """
        (world.folder / "root").mkdir(exist_ok=True)
        return await spawn(self._spec(world, argv, env, "start"), streams)

    async def enter(
        self,
        world: World,
        first: Process,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        terminal: bool = False,
        **streams: Any,
    ) -> Process:
        """Start another command in the sandbox of `first`.

        Args:
            world: what the sandbox was made with.
            first: its first process.
            argv: the command.
            env: its whole environment.
            terminal: whether stdin is a terminal that the command shall control.
            streams: as for `start`.

        Raises:
            SandboxFailed: the command does not exist, or the sandbox has ended.
        """
        spec = self._spec(world, argv, env, "enter") | {"terminal": terminal, "target": first.pid}
        return await spawn(spec, streams)

    def owner(self) -> tuple[int, int]:
        """uid and gid, on the machine, of what runs in a sandbox: who must own what it shall write."""
        if os.geteuid() == 0 and self.isolation is Isolation.USER:
            return 0, 0
        return self._inside_ids()

    def _inside_ids(self) -> tuple[int, int]:
        if os.geteuid() != 0:
            return os.geteuid(), os.getegid()
        if self.isolation is Isolation.MAPPED:
            with contextlib.suppress(KeyError):
                nobody = pwd.getpwnam("nobody")
                return nobody.pw_uid, nobody.pw_gid
        return UNPRIVILEGED, UNPRIVILEGED

    def locate(self, world: World, path: str) -> Path:
        """Where a path of the inside is on the machine, as far as it is a bind."""
        return Path(map_text(world, path))

    def _spec(self, world: World, argv: Sequence[str], env: Mapping[str, str], action: str) -> dict[str, Any]:
        uid, gid = self._inside_ids()
        spec: dict[str, Any] = {
            "isolation": self.isolation.value,
            "parent": os.getpid(),
            "uid": uid,
            "gid": gid,
            "terminal": False,
            "hostname": world.hostname,
            "cwd": world.cwd,
            "root": str(world.folder / "root"),
        }
        if self.isolation is Isolation.MAPPED:
            return spec | {
                "action": "mapped",
                "drop": world.drop and action == "start" and os.geteuid() == 0,
                "remove": [str(folder) for folder in world.remove] if action == "start" else [],
                "cwd": str(_mapped_cwd(world)),
                "argv": [map_argument(world, text) for text in argv],
                "env": {name: map_text(world, text) for name, text in env.items()},
            }
        return spec | {
            "action": action,
            "argv": list(argv),
            "env": dict(env),
            "etc": _etc(world, uid, gid),
            "binds": [{"source": str(b.source), "target": b.target, "read_only": b.read_only} for b in world.binds],
        }


def _etc(world: World, uid: int, gid: int) -> dict[str, str]:
    names = {"localhost": world.address, world.hostname: world.address} | dict(world.hosts)
    return {
        "hosts": "".join(f"{address}\t{name}\n" for name, address in names.items()),
        "hostname": f"{world.hostname}\n",
        "passwd": f"root:x:0:0:root:/root:/bin/sh\n{world.user}:x:{uid}:{gid}:{world.user}:{world.cwd}:/bin/sh\n",
        "group": f"root:x:0:\n{world.user}:x:{gid}:\n",
    }


def map_text(world: World, text: str) -> str:
    """Rewrite the paths of binds wherever they occur as whole path components; the longest wins."""
    sources = {entry.target: str(entry.source) for entry in world.binds}
    if not sources:
        return text
    targets = "|".join(re.escape(target) for target in sorted(sources, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])({targets})(?![\w.-])", lambda match: sources[match[1]], text)


def _mapped_cwd(world: World) -> Path:
    """The working directory without a root of its own: a folder of the sandbox, unless a bind holds it."""
    mapped = map_text(world, world.cwd)
    return Path(mapped) if mapped != world.cwd else world.folder / "root"


def map_argument(world: World, text: str) -> str:
    """As `map_text`; an argument that is localhost becomes the address."""
    return world.address if text in ("localhost", "127.0.0.1") else map_text(world, text)
