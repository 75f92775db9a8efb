"""How the lab ends a task of its own."""

import asyncio
import logging

import pytest

from lab.cluster.informer import cancel


async def test_a_task_that_has_failed_is_told_of_and_does_not_stop_whoever_ends_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise OSError("the server is away")

    task = asyncio.create_task(fail(), name="volume")
    await asyncio.wait([task])
    with caplog.at_level(logging.ERROR):
        await cancel(task)
    assert [record.getMessage() for record in caplog.records] == ["volume has failed"]
    assert "the server is away" in caplog.text


async def test_a_caller_that_is_cancelled_while_it_waits_for_a_task_to_end_stays_cancelled() -> None:
    held, begun = asyncio.Event(), asyncio.Event()

    async def end_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            begun.set()
            await held.wait()

    task = asyncio.create_task(end_slowly())
    await asyncio.sleep(0)
    caller = asyncio.create_task(cancel(task))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not task.done()
    held.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_is_cancelled_and_has_ended() -> None:
    task: asyncio.Task[None] = asyncio.create_task(asyncio.sleep(3600))
    await cancel(task)
    assert task.cancelled()
    await cancel(None)
