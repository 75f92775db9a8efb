"""The fleet against a lab: what is due rotates once, one page shows it, and the next run finds nothing to do."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from killing import kill
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events import Event
from reports import artifacts, rows, verdict

from flows.fleet import RotateIn, fleet
from flows.history import history
from infra.credentials import Strategy
from infra.fleet import schedule
from infra.rotation.options import Sync
from testing.inventory import listed, unlisted
from testing.rotating import World
from testing.waiting import eventually
from testing.walkthrough import DEXTER, SERVER, change

EVENT_SECONDS = 30


def run(**parameters: Any) -> State[Any]:
    given = {"rotate_in": RotateIn.THIS_PROCESS, "sync": Sync.EXPRESS, **parameters}
    return fleet(**given, return_state=True)  # type: ignore[call-overload,no-any-return]


def row_of(credential: str, state: State[Any]) -> dict[str, str]:
    return next(row for row in rows("fleet", state) if row["credential"] == credential)


def events_of(credential: str, rotation_id: str) -> list[Event]:
    """Wait for the end of a rotation, and return its events in order."""
    wanted = {"resource": {"id": [f"keyturn.credential.{credential}"]}}

    def look() -> list[Event] | None:
        with get_client(sync_client=True) as client:
            answer = client.request("POST", "/events/filter", json={"filter": wanted}).json()["events"]
        events = sorted(map(Event.model_validate, answer), key=lambda event: event.occurred)
        found = [event for event in events if event.payload.get("rotation_id") == rotation_id]
        return found if "keyturn.credential.rotated" in [event.event for event in found] else None

    return eventually(look, "the event of the rotation's end", EVENT_SECONDS, every=0.5)


@pytest.fixture
def due(world: World) -> World:
    """Two credentials of the inventory: one that is never due by itself, and one without a schedule."""
    listed(change(DEXTER, strategy=Strategy.IN_PLACE, every="90d"))
    listed(SERVER)
    return world


def test_a_dry_run_shows_what_is_asked_for_and_starts_nothing(due: World) -> None:
    before = due.values()
    state = run(requested=("dexter",))
    assert (state.name, verdict(state)) == ("Completed", "planned")
    assert row_of("dexter", state)["now"] == "due for requested"
    assert row_of("dexter-server", state) | {"age": "", "last": ""} == {
        **{"credential": "dexter-server", "strategy": "managed", "age": "", "last": ""},
        **{"next due": "never", "now": "not scheduled"},
    }
    assert due.values() == before


@pytest.fixture
def own(due: World) -> Iterator[str]:
    """A name for dexter that no other lab has: requests, rotations and histories of a name are kept for all of them."""
    name = listed(change(DEXTER, name=f"dexter-{uuid4().hex[:8]}", strategy=Strategy.IN_PLACE, every="90d"))
    unlisted(DEXTER.name)
    yield name
    unlisted(name)
    listed(DEXTER)


def test_what_is_asked_for_rotates_once_and_the_page_shows_it(due: World, own: str) -> None:
    before = due.values()
    state = run(dry_run=False, requested=(own,))
    assert (state.name, verdict(state)) == ("Completed", "all well"), state.message
    rotation_id = due.vault.get_latest("password").tags["rotation_id"]
    events = events_of(own, rotation_id)
    assert [event.event.rpartition(".")[2] for event in events] == ["started", "published", "rotated"]
    assert [event.follows for event in events] == [None, events[0].id, events[1].id]
    assert before[1] not in str(events)
    after = due.values()
    assert after != before
    assert not due.logs_in(before)
    assert row_of(own, state)["now"] == "rotated"
    [page] = [artifact.data for artifact in artifacts(state) if artifact.key == "fleet-page"]
    assert str(page).count("data:image/svg+xml;base64,") == 2
    rotations = history(own, return_state=True).result()  # type: ignore[call-overload]
    [told] = [rotation for rotation in rotations if rotation["rotation"] == rotation_id]
    assert (told["verdict"], told["started by"]) == ("rotated", "the fleet")
    assert told["username"] == after[0], "in place, the username stays"
    assert after[1] not in str(rotations)
    again = run(dry_run=False)
    assert (again.name, verdict(again)) == ("Completed", "all well")
    assert row_of(own, again)["last"] == "rotated"
    assert due.values() == after, "the request is met: the password is newer"


def test_a_killed_rotation_is_finished_once_it_has_written_nothing_for_a_while(
    due: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = change(DEXTER, strategy=Strategy.IN_PLACE, every="90d", paused=True)
    before = due.values()
    kill("before", "ALTER ROLE", credential)
    state = run(dry_run=False)
    assert row_of("dexter", state)["now"] == "paused", "somebody may still be at it"
    assert due.values()[0] == before[0]
    monkeypatch.setattr(schedule, "STALE", timedelta())
    state = run(dry_run=False)
    assert (state.name, verdict(state)) == ("Completed", "all well"), state.message
    assert row_of("dexter", state)["now"] == "rotated"
    assert due.values()[1] != before[1]
    assert not due.logs_in(before)
    due.assert_well()


def test_a_request_for_a_credential_that_does_not_exist_is_refused_with_its_name(due: World) -> None:
    state = run(dry_run=False, requested=("orders-bd",))
    assert (state.name, verdict(state)) == ("Failed", "failed")
    assert "The inventory has no such credential: orders-bd" in (state.message or "")


def test_a_request_for_a_paused_credential_is_refused_and_says_why(due: World) -> None:
    listed(change(DEXTER, strategy=Strategy.IN_PLACE, paused=True))
    before = due.values()
    state = run(dry_run=False, requested=("dexter",))
    assert (state.name, verdict(state)) == ("Failed", "refused")
    message = state.message or ""
    assert "The fleet would not begin a rotation that is asked for: dexter" in message
    assert "dexter: it is paused" in message
    assert due.values() == before


def test_a_rotation_that_is_refused_fails_the_run_and_names_the_credential(due: World) -> None:
    listed(change(DEXTER, strategy=Strategy.ALTERNATING))
    before = due.values()
    state = run(dry_run=False, requested=("dexter",))
    assert (state.name, verdict(state)) == ("Failed", "needs operator")
    assert "Some credentials of the fleet need a person: dexter." in (state.message or "")
    assert row_of("dexter", state)["last"] == "refused"
    assert due.values() == before
