"""Prefect's global limits of vaults and servers, on a real server: they bound the fleet's rotations, and no other."""

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from uuid import uuid4

import pytest
from prefect import flow, tags
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate

from infra.credentials import Credential
from tasks.fleet import runs, slots
from testing.labs import ROOT
from testing.rotating import run_python
from testing.waiting import eventually
from testing.walkthrough import SERVER, change

pytestmark = pytest.mark.usefixtures("prefect_api")
HELD_SECONDS, FREE_SECONDS = 120, 180
SERVICE = "ConcurrencySlotAcquisition"
"""Prefect's threads that ask for slots are called so."""


@pytest.fixture
def credential() -> Credential:
    """A credential in a vault of its own, so that its limit is nobody else's."""
    return change(SERVER, name="limited", vault=f"kv-{uuid4().hex[:12]}")


@pytest.fixture
def limit(credential: Credential) -> str:
    """A limit of one rotation at a time in the credential's vault; its server has none."""
    name = slots.name_limits(credential)[0]
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    return name


def count_held(limit: str) -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(limit).active_slots


@flow(name="hold slots")
def hold(credential: Credential, held: threading.Event) -> None:
    with slots.slots_held(credential):
        held.set()


@contextmanager
def holder(credential: Credential) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the slots of a credential."""
    process = run_python(ROOT / "tests/e2e/slot_holder.py", credential.name, credential.vault)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def waiting(credential: Credential, *given: str) -> Iterator[threading.Event]:
    """Wait for the slots of a credential in a thread, and yield what tells that they are held."""
    held = threading.Event()
    with tags(*given), ThreadPoolExecutor(1) as thread:
        future = thread.submit(copy_context().run, hold, credential, held)
        yield held
        future.result()


def test_only_limits_that_exist_are_asked_for_and_the_others_leave_no_thread_behind(
    credential: Credential, limit: str
) -> None:
    unlimited = change(credential, vault=f"kv-{uuid4().hex[:12]}")
    assert slots.find_limits(credential) == [limit]
    assert slots.find_limits(unlimited) == []
    before = [thread.name for thread in threading.enumerate()]
    with waiting(unlimited, runs.FLEET) as held:
        assert held.wait(HELD_SECONDS)
    new = [thread.name for thread in threading.enumerate() if thread.name not in before]
    assert not [name for name in new if name.startswith(SERVICE)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_slot_of_a_killed_rotation_comes_back_and_the_next_one_takes_it(credential: Credential, limit: str) -> None:
    with holder(credential) as process:
        eventually(lambda: count_held(limit) == 1, "the slot", HELD_SECONDS, 0.5)
        with waiting(credential) as held:
            assert held.wait(HELD_SECONDS), "a rotation that a person started waits for nobody"
        with waiting(credential, runs.FLEET) as held:
            assert not held.wait(10), "the fleet's waits"
            process.kill()
            assert held.wait(FREE_SECONDS), "nobody gave the slot back, and it came back all the same"
    eventually(lambda: count_held(limit) == 0, "the slot's end", HELD_SECONDS, 0.5)
