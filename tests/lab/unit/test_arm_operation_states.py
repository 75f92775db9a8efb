"""Long-running operations by themselves."""

import asyncio
from datetime import UTC, datetime

from lab.azure.arm.errors import ArmError
from lab.azure.arm.operations import Operations, Reply


def now() -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC)


def start(operations, work, ends=None, **options):
    return operations.start(
        work, "https://host/operations", lambda: Reply(200), ([] if ends is None else ends).append, **options
    )


async def nothing():
    return None


async def test_it_is_under_way_until_its_work_is_done():
    operations, gate, ends = Operations(0, now), asyncio.Event(), []
    operation = start(operations, gate.wait(), ends)
    await asyncio.sleep(0)
    assert (operation.status, operation.describe()["status"], ends) == ("InProgress", "InProgress", [])
    gate.set()
    await operation.done.wait()
    assert (operation.status, ends) == ("Succeeded", [None])
    assert operation.describe()["endTime"] == "2025-01-01T00:00:00+00:00"


async def test_it_is_found_by_its_id():
    operations = Operations(0, now)
    operation = start(operations, nothing())
    assert operations.find(operation.id.upper()) is operation
    assert operation.url == f"https://host/operations/{operation.id}"
    assert operations.find("none") is None
    await operation.done.wait()


async def test_a_refusal_becomes_its_error():
    async def refuse():
        raise ArmError(409, "Conflict", "not now", "properties.a")

    operations, ends = Operations(0, now), []
    operation = start(operations, refuse(), ends)
    await operation.done.wait()
    assert operation.describe()["status"] == "Failed"
    assert operation.describe()["error"] == {"code": "Conflict", "message": "not now", "target": "properties.a"}
    assert ends == [operation.error]


async def test_anything_else_becomes_an_internal_error():
    async def fail():
        raise OSError("no space left")

    operations = Operations(0, now)
    operation = start(operations, fail())
    await operation.done.wait()
    assert operation.error.code == "InternalExecutionError"
    assert "no space left" in operation.error.message


async def test_it_waits_for_the_one_before():
    operations, gate, order = Operations(0, now), asyncio.Event(), []

    async def note():
        order.append("second")

    first = start(operations, gate.wait())
    second = start(operations, note(), after=first)
    await asyncio.sleep(0.01)
    assert order == []
    gate.set()
    await second.done.wait()
    assert order == ["second"]


async def test_stopping_leaves_nothing_running():
    operations = Operations(0, now)
    first = start(operations, asyncio.Event().wait())
    second = start(operations, nothing(), after=first)
    await asyncio.sleep(0)
    await operations.stop()
    assert (first.status, second.status) == ("Failed", "Failed")


async def test_what_it_leaves_behind_is_shown():
    output = {}

    async def work():
        output["value"] = [1]

    operations = Operations(0, now)
    operation = start(operations, work(), output=output)
    await operation.done.wait()
    assert operation.describe()["properties"] == {"output": {"value": [1]}}


async def test_clients_come_back_after_a_fraction_of_its_least_time():
    assert Operations(0.2, now).retry_header == {"x-ms-retry-after-ms": "100"}
    assert Operations(0, now).retry_header == {"x-ms-retry-after-ms": "50"}
    assert Operations(60, now).retry_header == {"x-ms-retry-after-ms": "200"}
