"""Images: a name chooses a launcher, which says what to run and what it sees. There is no registry."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGTERM

from lab.cluster.node.context import NodeContext
from lab.databases.postgres import INSIDE_ENTRYPOINT
from lab.sandbox.sandboxes import Bind, World

CHECKOUT = Path(__file__).parents[3]
GET_STORAGE = CHECKOUT / "manifests" / "walkthrough" / "get-storage" / "app.py"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REFERENCE = re.compile(r"[a-z0-9][a-zA-Z0-9._:/-]*(@sha256:[0-9a-f]{64})?")
LAUNCHERS = ("postgres", "get-storage", "busybox")
PYTHON_PORT = "8080"


class PullError(Exception):
    """ErrImagePull: the image cannot be had."""


class InvalidImage(Exception):
    """InvalidImageName: no image can be called so."""


@dataclass(frozen=True)
class Launch:
    """How a container of an image is run.

    Args:
        world: what it sees.
        entrypoint: the image's entrypoint.
        command: the image's arguments to it.
        environment: the image's variables.
        stop_signal: how it is asked to end.
    """

    world: World
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: dict[str, str]
    stop_signal: int


@dataclass(frozen=True)
class Place:
    """Where a container runs: a folder of its own, the pod's host name and address, its volumes."""

    folder: Path
    hostname: str
    address: str
    binds: tuple[Bind, ...]


def canonical(image: str) -> str:
    """The full name, as containerd prints it: registry, repository and tag."""
    name, digest, sha = image.partition("@")
    first = name.split("/", 1)[0]
    if "/" not in name:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    if not sha and ":" not in name.rsplit("/", 1)[-1]:
        name += ":latest"
    return name + digest + sha


def check_name(image: str) -> None:
    """Make sure that an image can be called so.

    Raises:
        InvalidImage: none can.
    """
    if not REFERENCE.fullmatch(image):
        text = f'couldn\'t parse image name "{image}": invalid reference format'
        raise InvalidImage(f'Failed to apply default image tag "{image}": {text}')


def launcher_of(image: str) -> str:
    """The launcher of an image.

    Raises:
        PullError: no registry has it.
    """
    full = canonical(image)
    repository = full.split("@")[0].rsplit(":", 1)[0]
    name = repository.rsplit("/", 1)[-1]
    official = repository.startswith("docker.io/library/")
    if name in LAUNCHERS and (name == "get-storage" or official):
        return name
    raise PullError(
        f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": pull access denied, '
        "repository does not exist or may require authorization: server message: insufficient_scope: "
        "authorization failed"
    )


async def prepare(context: NodeContext, image: str, place: Place) -> Launch:
    """How to run a container of `image` at `place`; the image must be one that can be had."""
    name = launcher_of(image)
    if name == "postgres":
        return await _postgres(context, place)
    if name == "get-storage":
        return _get_storage(place)
    world = World(place.folder, place.hostname, place.address, binds=place.binds)
    return Launch(world, (), ("sh",), {"PATH": DEFAULT_PATH}, SIGTERM)


async def _postgres(context: NodeContext, place: Place) -> Launch:
    postgres = await context.processes.postgres()
    world = postgres.world(place.folder, place.hostname, place.address, place.binds)
    environment = postgres.environment(place.address)
    return Launch(world, ("sh", INSIDE_ENTRYPOINT), ("postgres",), environment, SIGINT)


def _get_storage(place: Place) -> Launch:
    """The program of manifests/walkthrough/get-storage, with this interpreter and what is installed for it."""
    folders = {Path(sys.base_prefix), Path(sys.prefix), Path(sys.executable).resolve().parents[1]}
    python = [Bind(folder, str(folder), True) for folder in sorted(folders) if not folder.is_relative_to("/usr")]
    app = Bind(GET_STORAGE, "/app/app.py", True)
    world = World(place.folder, place.hostname, place.address, cwd="/data", binds=(*python, app, *place.binds))
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{DEFAULT_PATH}",
        "HOST": place.address,
        "PORT": PYTHON_PORT,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return Launch(world, (sys.executable,), ("/app/app.py",), environment, SIGTERM)
