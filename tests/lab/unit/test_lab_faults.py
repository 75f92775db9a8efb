"""Faults that are asked of the lab: which requests they act on, and how often."""

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientConnectionError, web
from aiohttp.test_utils import TestClient, TestServer

from lab.control.faults import Fault, Faults


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def statuses(faults: Faults, *paths: str) -> list[int]:
    app = web.Application(middlewares=[faults.middleware])
    app.router.add_route("*", "/{path:.*}", hello)
    async with TestClient(TestServer(app)) as client:
        return [(await client.get(path)).status for path in paths]


@pytest.mark.parametrize(
    ("fault", "acts"),
    [
        (Fault(), True),
        (Fault(host="*.vault.azure.net"), True),
        (Fault(host="DEXTERKEYVAULT.vault.azure.net"), True),
        (Fault(host="other.vault.azure.net"), False),
        (Fault(path="/secrets/*"), True),
        (Fault(path="/secrets"), False),
        (Fault(method="PUT"), False),
        (Fault(method="GET", path="*/versions"), True),
    ],
)
def test_a_fault_acts_on_what_it_names(fault: Fault, acts: bool) -> None:
    assert fault.matches("GET", "dexterkeyvault.vault.azure.net", "/secrets/username/versions") is acts


async def test_a_fault_answers_in_the_place_of_the_service() -> None:
    faults = Faults()
    faults.add(Fault(path="/a", status=503, headers={"Retry-After": "1"}, body="busy"))
    app = web.Application(middlewares=[faults.middleware])
    app.router.add_route("*", "/{path:.*}", hello)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/a")
        assert (answer.status, answer.headers["Retry-After"], await answer.text()) == (503, "1", "busy")
        assert (await client.get("/b")).status == 200


async def test_a_fault_with_a_number_of_times_ends_by_itself() -> None:
    faults = Faults()
    faults.add(Fault(status=500, times=2))
    assert await statuses(faults, "/", "/", "/") == [500, 500, 200]
    assert faults.list() == {}


async def test_a_fault_without_a_status_lets_the_request_through() -> None:
    faults = Faults()
    faults.add(Fault(delay_seconds=0.01, times=1))
    assert await statuses(faults, "/") == [200]
    assert faults.list() == {}


async def test_the_oldest_of_several_faults_acts() -> None:
    faults = Faults()
    first = faults.add(Fault(status=500))
    second = faults.add(Fault(status=429))
    assert await statuses(faults, "/") == [500]
    faults.clear(first)
    assert list(faults.list()) == [second]
    assert await statuses(faults, "/") == [429]


def test_switches_are_known_by_name() -> None:
    faults = Faults()
    faults.switch("sync-paused", True)
    assert faults.is_on("sync-paused")
    assert faults.switches() == {"sync-paused"}
    with pytest.raises(ValueError, match="no switch 'sync-pausd'; there are api-server-down"):
        faults.switch("sync-pausd", True)
    faults.clear()
    assert not faults.is_on("sync-paused")


async def test_a_late_fault_loses_the_answer_alone() -> None:
    faults, served = Faults(), list[str]()
    faults.add(Fault(path="/a", status=500, late=True))

    async def serve(request: web.Request) -> web.Response:
        served.append(request.path)
        return web.Response(text="hello")

    app = web.Application(middlewares=[faults.middleware])
    app.router.add_route("*", "/{path:.*}", serve)
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/a")).status == 500
    assert served == ["/a"]


async def test_an_outage_cuts_every_connection_until_it_is_over() -> None:
    faults = Faults()
    faults.switch("api-server-down", True)
    app = web.Application(middlewares=[faults.outage("api-server-down")])
    app.router.add_route("*", "/{path:.*}", hello)
    async with TestClient(TestServer(app)) as client:
        with pytest.raises(ClientConnectionError):
            await client.get("/a")
        faults.clear()
        assert (await client.get("/a")).status == 200


def test_who_follows_a_switch_is_told_of_each_change_once() -> None:
    faults, told, begun = Faults(), list[bool](), list[str]()
    faults.follow("tokens-short-lived", told.append)
    faults.when_on("tokens-short-lived", lambda: begun.append("on"))
    faults.switch("tokens-short-lived", True)
    faults.switch("tokens-short-lived", True)
    faults.clear()
    assert told == [True, False]
    assert begun == ["on"]


def test_azures_clock_can_be_a_minute_off() -> None:
    faults = Faults()
    for name, minutes in (("azure-clock-ahead", 1), ("azure-clock-behind", -1)):
        faults.switch(name, True)
        assert round((faults.now() - datetime.now(UTC)) / timedelta(minutes=1)) == minutes
        faults.clear()
    assert abs(faults.now() - datetime.now(UTC)) < timedelta(seconds=10)
