"""Sandboxes: what a command sees inside, in every way that this machine allows."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.sandbox.sandboxes import Bind, Isolation, Sandboxes, SandboxFailed, World, map_argument, map_text
from testing.labs import ROOT

PATH = {"PATH": os.defpath}
ADDRESS = "127.88.1.1"


@pytest.fixture(params=list(Isolation))
async def sandboxes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sandboxes]:
    made = Sandboxes(request.param)
    try:
        process = await made.start(World(tmp_path, "probe", ADDRESS), ["true"], PATH)
        await process.wait()
    except SandboxFailed as error:
        pytest.skip(f"this machine forbids {request.param} sandboxes ({error.seen}); run as root, or allow namespaces")
    yield made


@pytest.fixture
def world(tmp_path: Path) -> World:
    volume, folder = tmp_path / "volume", tmp_path / "sandbox"
    for path in (volume, folder):
        path.mkdir()
    (volume / "username").write_text("dexter")
    return World(folder, "pod-one", ADDRESS, binds=(Bind(volume, "/mederma", True),))


async def run(sandboxes: Sandboxes, world: World, script: str, **env: str) -> tuple[int, str]:
    """A shell script in a new sandbox: exit code and output."""
    pipe, merged = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await sandboxes.start(world, ["sh", "-c", script], PATH | env, stdout=pipe, stderr=merged)
    output = await process.communicate()
    return await process.wait(), output.decode()


def needs_namespaces(sandboxes: Sandboxes) -> None:
    if sandboxes.isolation is Isolation.MAPPED:
        pytest.skip("there are no namespaces in this mode")


async def test_mounted_files_are_where_they_belong(sandboxes: Sandboxes, world: World) -> None:
    assert await run(sandboxes, world, "cat /mederma/username") == (0, "dexter")


async def test_paths_in_the_environment_lead_there_too(sandboxes: Sandboxes, world: World) -> None:
    assert await run(sandboxes, world, 'cat "$FILE"', FILE="/mederma/username") == (0, "dexter")


async def test_a_change_of_the_volume_is_seen_inside(sandboxes: Sandboxes, world: World, tmp_path: Path) -> None:
    pipe = asyncio.subprocess.PIPE
    argv = ["sh", "-c", "cat /mederma/username; echo; read line; cat /mederma/username"]
    process = await sandboxes.start(world, argv, PATH, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"dexter\n"
    (tmp_path / "volume" / "new").write_text("therema")
    (tmp_path / "volume" / "new").replace(tmp_path / "volume" / "username")
    assert await process.communicate(b"\n") == b"therema"
    await process.wait()


async def test_a_read_only_volume_cannot_be_written(sandboxes: Sandboxes, world: World) -> None:
    needs_namespaces(sandboxes)
    code, output = await run(sandboxes, world, "echo x > /mederma/username")
    assert code != 0
    assert "Read-only file system" in output


async def test_a_file_may_be_shown_inside_a_folder_that_is_shown_read_only(
    sandboxes: Sandboxes, tmp_path: Path
) -> None:
    needs_namespaces(sandboxes)
    checkout, folder = tmp_path / "checkout", tmp_path / "other"
    for path in (checkout, folder):
        path.mkdir()
    bundle = checkout / "bundle.pem"
    bundle.write_text("trusted")
    binds = (Bind(checkout, str(checkout), True), Bind(bundle, str(bundle), True))
    assert await run(sandboxes, World(folder, "pod-one", ADDRESS, binds=binds), f"cat {bundle}") == (0, "trusted")


async def test_names_pids_and_user_are_its_own(sandboxes: Sandboxes, world: World) -> None:
    needs_namespaces(sandboxes)
    script = "hostname; getent hosts localhost | cut -d' ' -f1; echo $$; whoami; id -u"
    _, output = await run(sandboxes, world, script)
    hostname, localhost, pid, user, uid = output.split()
    assert (hostname, localhost, pid, user) == ("pod-one", ADDRESS, "1", "app")
    assert uid != "0"


async def test_no_rights_are_left_inside(sandboxes: Sandboxes, world: World) -> None:
    needs_namespaces(sandboxes)
    _, output = await run(sandboxes, world, "grep -E 'CapEff|CapPrm|NoNewPrivs' /proc/self/status")
    assert output.split()[1::2] == ["0" * 16, "0" * 16, "1"]


async def test_the_working_directory_can_be_written_and_goes_with_the_sandbox(
    sandboxes: Sandboxes, world: World
) -> None:
    needs_namespaces(sandboxes)
    assert await run(sandboxes, world, "echo kept > myfile && cat myfile") == (0, "kept\n")
    assert await run(sandboxes, world, "cat myfile 2>/dev/null || echo gone") == (0, "gone\n")
    assert not Path("/myfile").exists()


async def test_a_command_can_enter_and_sees_the_same(sandboxes: Sandboxes, world: World) -> None:
    first = await sandboxes.start(world, ["sleep", "60"], PATH)
    pipe = asyncio.subprocess.PIPE
    argv = ["sh", "-c", "cat /mederma/username; exit 5"]
    process = await sandboxes.enter(world, first, argv, PATH, stdout=pipe)
    assert await process.communicate() == b"dexter"
    assert await process.wait() == 5
    assert await first.kill() == 137


async def test_a_command_that_does_not_exist_is_told_apart(sandboxes: Sandboxes, world: World) -> None:
    with pytest.raises(SandboxFailed) as missing:
        await sandboxes.start(world, ["no-such-program"], PATH)
    assert (missing.value.code, missing.value.name) == ("not-found", "no-such-program")
    with pytest.raises(SandboxFailed) as refused:
        await sandboxes.start(world, ["/etc/passwd"], PATH)
    assert refused.value.code == "not-executable"


async def test_the_end_takes_all_descendants(sandboxes: Sandboxes, world: World) -> None:
    pipe = asyncio.subprocess.PIPE
    script = "sleep 4712 & (setsid sleep 4712 &) ; echo begun; wait"
    process = await sandboxes.start(world, ["sh", "-c", script], PATH, stdout=pipe)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    await process.kill()
    await process.stdout.read()
    assert not processes_with("4712")


async def test_a_cancelled_start_leaves_no_process(sandboxes: Sandboxes, world: World) -> None:
    starting = asyncio.create_task(sandboxes.start(world, ["sleep", "4713"], PATH))
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    async with asyncio.timeout(5):
        while processes_with("4713"):
            await asyncio.sleep(0.01)


async def test_signals_reach_the_command(sandboxes: Sandboxes, world: World) -> None:
    pipe = asyncio.subprocess.PIPE
    script = "trap 'exit 9' TERM; echo begun; while :; do sleep 0.01; done"
    process = await sandboxes.start(world, ["sh", "-c", script], PATH, stdout=pipe)
    assert process.stdout is not None
    await process.stdout.readline()
    process.send(15)
    assert await process.wait() == 9


def processes_with(argument: str) -> list[str]:
    """The pids of processes that have an argument."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argument.encode() in words and b"sleep" in words:
            found.append(folder.name)
    return found


def test_the_program_between_does_without_what_takes_long_to_import() -> None:
    script = "import sys; import lab.sandbox.child; print(*sorted(sys.modules))"
    argv = [sys.executable, "-s", "-S", "-c", script]
    done = subprocess.run(argv, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True, timeout=30)
    loaded = set(done.stdout.split())
    assert "lab.sandbox.root" in loaded
    assert not loaded & {"asyncio", "enum", "json", "pathlib", "re", "runpy", "shutil", "signal", "typing"}


async def test_the_switch_decides_beforehand() -> None:
    found = await Sandboxes.detect({"KEYTURN_LAB_SANDBOX": "mapped"})
    assert found.isolation is Isolation.MAPPED


@pytest.mark.parametrize(
    ("text", "mapped"),
    [
        ("/mederma/username", "/tmp/v/username"),
        ("--file=/mederma/username", "--file=/tmp/v/username"),
        ("cat /mederma/a /mederma/b", "cat /tmp/v/a /tmp/v/b"),
        ("/mederma2/username", "/mederma2/username"),
        ("/x/mederma/username", "/x/mederma/username"),
        ("/mederma/inner/x", "/tmp/w/x"),
        ("file:///mederma", "file:///mederma"),
    ],
)
def test_whole_paths_are_mapped_and_the_longest_wins(text: str, mapped: str) -> None:
    binds = (Bind(Path("/tmp/v"), "/mederma"), Bind(Path("/tmp/w"), "/mederma/inner"))
    assert map_text(World(Path("/tmp"), "h", ADDRESS, binds=binds), text) == mapped


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_localhost_as_an_argument_is_the_sandboxs_address(name: str) -> None:
    assert map_argument(World(Path("/tmp"), "h", ADDRESS), name) == ADDRESS
