"""A forward of the lab's cluster between its two connections."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from lab.cluster.controllers.forwards import Forward, Listen
from testing.postgres_process import free_port

ADDRESS = "127.0.0.1"


async def test_a_forward_that_is_stopped_between_its_two_connections_leaves_none_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    between, ended, connect = asyncio.Event(), asyncio.Event(), asyncio.open_connection

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            await reader.read()
        writer.transport.abort()
        ended.set()

    async def connect_or_stay(*args: Any, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if "sock" in options:
            between.set()
            await asyncio.Event().wait()
        return await connect(*args, **options)

    monkeypatch.setattr(asyncio, "open_connection", connect_or_stay)
    async with await asyncio.start_server(serve, ADDRESS, 0) as pod, asyncio.timeout(20):
        forward = Forward(Listen(ADDRESS, free_port()))
        await forward.direct([pod.sockets[0].getsockname()[:2]])
        _, writer = await connect(ADDRESS, forward.listen.port)
        await between.wait()
        await forward.stop()
        assert await ended.wait(), "the pod sees the first connection end"
        writer.transport.abort()
