"""The slots of vaults and servers: only the fleet's runs wait for them, and their trouble stops no rotation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tasks.fleet import slots
from testing.walkthrough import DEXTER, SERVER

CALLS: list[Any] = []
FIND_LIMITS = slots.find_limits


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    CALLS.clear()

    @contextmanager
    def concurrency(names: list[str], **_: Any) -> Iterator[None]:
        CALLS.append(names)
        yield
        CALLS.append("given back")

    monkeypatch.setattr(slots, "concurrency", concurrency)
    monkeypatch.setattr(slots, "find_limits", slots.name_limits)
    yield CALLS


def raise_connection_error(**_: Any) -> None:
    raise ConnectionError


def run_with(monkeypatch: pytest.MonkeyPatch, *tags: str) -> None:
    monkeypatch.setattr(slots.flow_run, "tags", list(tags), raising=False)


def test_a_limit_is_named_after_the_vault_and_the_server() -> None:
    assert slots.name_limits(SERVER) == ["keyturn-vault-dexterkeyvault", "keyturn-server-sonarqube-postgresql3"]
    assert slots.name_limits(DEXTER)[1] == (
        "keyturn-server-dexter-service-in-dexter-of-integrateakskv-cluster-in-integrateakskv-rg"
    )


def test_a_rotation_of_the_fleet_holds_its_slots_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(monkeypatch, "fleet")
    with pytest.raises(ZeroDivisionError), slots.slots_held(SERVER) as has_waited:
        assert has_waited
        assert CALLS[0] == slots.name_limits(SERVER)
        raise ZeroDivisionError
    assert CALLS[1:] == ["given back"]


def test_a_rotation_of_a_person_waits_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(monkeypatch)
    with slots.slots_held(SERVER) as has_waited:
        assert not has_waited
    assert CALLS == []


def test_names_without_a_limit_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(monkeypatch, "fleet")
    monkeypatch.setattr(slots, "find_limits", lambda _: [])
    with slots.slots_held(SERVER) as has_waited:
        assert has_waited
    assert CALLS == []


@pytest.mark.parametrize("at", ["look", "take", "give back"])
def test_an_api_that_is_away_stops_no_rotation(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    run_with(monkeypatch, "fleet")

    @contextmanager
    def concurrency(*_: Any, **__: Any) -> Iterator[None]:
        if at == "take":
            raise ConnectionError
        yield
        raise ConnectionError

    monkeypatch.setattr(slots, "concurrency", concurrency)
    if at == "look":
        monkeypatch.setattr(slots, "get_client", raise_connection_error)
        monkeypatch.setattr(slots, "find_limits", FIND_LIMITS)
    done = False
    with slots.slots_held(SERVER):
        done = True
    assert done
