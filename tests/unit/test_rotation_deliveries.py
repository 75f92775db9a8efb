"""What a plan makes of deliveries of other shapes: files without a Secret, and a Secret without a mount."""

from dataclasses import replace

import pytest
from rotation_facts import OPTIONS, POD, PUBLISHED, USES, subjects

from infra.credentials import Consumer, CsiDelivery, SecretDelivery, Strategy
from infra.rotation.observation import ConsumerFacts, LoginState, Synced
from infra.rotation.options import Sync
from infra.rotation.plan import Plan, make_plan
from infra.rotation.steps import Action
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

CLIENT = consumer_like(DATABASE, name="client", is_database=False)
KEPT = consumer_like(CLIENT, delivery=SecretDelivery(kind="secret", secret="userpass", kept_by="postgresql-kvname"))
FILES = consumer_like(CLIENT, delivery=CsiDelivery(secret_provider_class="postgresql-kvname"))
FOLLOWER = consumer_like(FILES, needs_restart=False)
NEW = {"username": "u2", "password": "p2"}


def plan_with(consumer: Consumer, synced: Synced, versions: dict[str, str]) -> Plan:
    """Plan a rotation that has published, with one client beside the database, which has everything."""
    unmounted = frozenset() if isinstance(consumer.delivery, CsiDelivery) else USES
    pods = (replace(POD, versions=versions),)
    client = ConsumerFacts(consumer, USES, synced, 1, pods, unmounted=unmounted)
    database = replace(PUBLISHED.consumers[0], synced=Synced.NEWEST, pods=(replace(POD, versions=NEW),))
    candidate = replace(PUBLISHED.candidate, strategy=Strategy.ALTERNATING) if PUBLISHED.candidate else None
    seen = replace(
        PUBLISHED,
        consumers=(database, client),
        candidate=candidate,
        logins=replace(PUBLISHED.logins, current=LoginState.WORKS, candidate=LoginState.WORKS),
        alternates=1,
    )
    credential = change(DEXTER, strategy=Strategy.ALTERNATING, consumers=(DATABASE, consumer))
    return make_plan(credential, OPTIONS.model_copy(update={"sync": Sync.WAIT}), seen, "r1")


@pytest.mark.parametrize(
    ("consumer", "synced", "versions", "is_awaited"),
    [
        (KEPT, Synced.OTHER, {}, True),
        (KEPT, Synced.NEWEST, {}, False),
        (FILES, Synced.NONE, {"username": "u2", "password": "p1"}, True),
        (FILES, Synced.NONE, NEW, False),
        (FOLLOWER, Synced.NONE, {"username": "u2", "password": "p1"}, True),
        (FOLLOWER, Synced.NONE, NEW, False),
        (CLIENT, Synced.NEWEST, {}, True),
        (CLIENT, Synced.NONE, {}, True),
    ],
)
def test_a_consumer_is_waited_for_by_what_its_delivery_has(
    consumer: Consumer, synced: Synced, versions: dict[str, str], is_awaited: bool
) -> None:
    awaited = subjects(plan_with(consumer, synced, versions), Action.AWAIT_SYNC)
    assert awaited == ([str(consumer.workload)] if is_awaited else [])


def test_only_consumers_with_a_secret_have_one_refreshed_and_a_shared_one_is_refreshed_once() -> None:
    assert subjects(plan_with(FILES, Synced.NONE, NEW), Action.REFRESH_SECRET) == []
    assert subjects(plan_with(KEPT, Synced.OTHER, {}), Action.REFRESH_SECRET) == ["dexter/userpass"]
