"""exec and logs with the real kubectl, through the API server to the node."""

import asyncio
import os
import pty
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pod_world import NAMESPACE, PodWorld, pod_world

from lab.cluster import client as api
from lab.commands.tools import ensure_tools, get_cache_dir

# The size comes in a message of its own, as it does from a kubelet: the command may be ahead of it.
SIZE = 'until [ "$(stty size)" != "0 0" ]; do sleep 0.02; done; stty size; tty'
LOOP = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done"


@dataclass
class Kubectl:
    """kubectl with the cluster's kubeconfig; calls return exit code and output."""

    program: Path
    kubeconfig: Path
    world: PodWorld

    def argv(self, *arguments: str) -> list[str]:
        return [str(self.program), "--kubeconfig", str(self.kubeconfig), "-n", NAMESPACE, *arguments]

    async def __call__(self, *arguments: str, given: bytes | None = None) -> tuple[int, str]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self.argv(*arguments),
            stdin=pipe if given is not None else asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(20):
            output, _ = await process.communicate(given)
        assert process.returncode is not None
        return process.returncode, output.decode()


@pytest.fixture
async def kubectl(tmp_path: Path, postgres_cache: Path) -> AsyncIterator[Kubectl]:
    async with pod_world(tmp_path, postgres_cache) as world:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(world.server.kubeconfig)
        tools = await asyncio.to_thread(ensure_tools, get_cache_dir(tmp_path) / "bin")
        container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", LOOP]}
        await world.pod("one", {"terminationGracePeriodSeconds": 0, "containers": [container]})
        await world.until(api.PODS, "one", lambda pod: pod["status"]["phase"] == "Running")
        yield Kubectl(tools / "kubectl", kubeconfig, world)


async def test_both_streams_and_the_exit_code_arrive(kubectl: Kubectl) -> None:
    code, output = await kubectl("exec", "one", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert code == 3
    assert sorted(output.splitlines()) == ["command terminated with exit code 3", "err", "out"]


async def test_standard_input_reaches_the_command_and_ends(kubectl: Kubectl) -> None:
    assert await kubectl("exec", "-i", "one", "--", "cat", given=b"hello\n") == (0, "hello\n")


async def test_much_output_arrives_whole(kubectl: Kubectl) -> None:
    code, output = await kubectl("exec", "one", "--", "sh", "-c", "seq 1 50000")
    assert (code, output.split()[-1], len(output.split())) == (0, "50000", 50000)


async def test_a_command_that_does_not_exist_is_named(kubectl: Kubectl) -> None:
    code, output = await kubectl("exec", "one", "--", "no-such-program")
    assert code == 1
    assert 'exec: "no-such-program": executable file not found in $PATH' in output


async def test_a_terminal_has_the_callers_size(kubectl: Kubectl) -> None:
    master, slave = pty.openpty()
    try:
        size = await asyncio.create_subprocess_exec("stty", "rows", "33", "cols", "99", stdin=slave)
        await size.wait()
        process = await asyncio.create_subprocess_exec(
            *kubectl.argv("exec", "-it", "one", "--", "sh", "-c", SIZE),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        assert os.read(master, 4096).decode().splitlines()[0] == "33 99"
    finally:
        os.close(master)
        os.close(slave)


async def test_a_caller_that_leaves_ends_the_command(kubectl: Kubectl) -> None:
    process = await asyncio.create_subprocess_exec(
        *kubectl.argv("exec", "one", "--", "sh", "-c", "echo begun; exec sleep 4711"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    process.kill()
    await process.communicate()
    async with asyncio.timeout(10):
        while (
            "sleep 4711"
            in (await kubectl("exec", "one", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"))[1]
        ):
            await asyncio.sleep(0.05)


async def test_logs_can_be_cut_and_followed(kubectl: Kubectl) -> None:
    code, output = await kubectl("logs", "one", "--tail=2")
    assert code == 0
    assert len(output.splitlines()) == 2
    process = await asyncio.create_subprocess_exec(*kubectl.argv("logs", "-f", "one"), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        for number in range(1, 100):
            assert await process.stdout.readline() == f"line {number}\n".encode()
        await kubectl.world.client.delete(api.PODS, NAMESPACE, "one", grace_seconds=0)
        await process.communicate()


async def test_there_are_no_earlier_logs_of_a_container_that_never_ended(kubectl: Kubectl) -> None:
    code, output = await kubectl("logs", "-p", "one")
    assert code == 1
    assert output.startswith(
        'Error from server (BadRequest): previous terminated container "main" in pod "one" not found'
    )


async def test_the_kubelet_answers_to_the_api_server_alone(kubectl: Kubectl) -> None:
    node = await kubectl.world.get(api.NODES, "aks-nodepool1-31415926-vmss000000", "")
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    outsider = api.Client(f"http://{node['status']['addresses'][0]['address']}:{port}", token="guessed")
    async with outsider:
        with pytest.raises(api.ApiError) as refused:
            await outsider.request("GET", f"/containerLogs/{NAMESPACE}/one/main")
    assert refused.value.status == 401
