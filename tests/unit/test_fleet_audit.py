"""What an audit finds, and what its page says: late, near its expiry, not as the vault says, or left behind."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rotation_facts import HEALTHY, STAGED, version

from infra.credentials import Credential, Strategy, WorkloadKind
from infra.errors import Code, DatabaseUnreachable, KeyturnError
from infra.fleet.audit import Leftovers, check_schedule, check_state, is_drift
from infra.fleet.schedule import Facts, find_due
from infra.rotation.observation import Logins, LoginState, Observation, Phase, SecretFacts, Synced
from infra.rotation.preflight import Finding
from tasks.fleet import audit_report
from tasks.fleet.audit import Audited
from tasks.fleet.audit_report import describe, list_links, render
from tasks.reports.events import Trail
from testing.walkthrough import DATABASE, DEXTER, SERVER, change, consumer_like

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NOTHING_LEFT = Leftovers()
UNREPORTED = replace(HEALTHY.consumers[0].pods[0], versions={})
ORDERS = change(SERVER, name="orders-db", every="60d", owner="team orders")


def found_in(
    observation: Observation = HEALTHY, credential: Credential = DEXTER, leftovers: Leftovers = NOTHING_LEFT
) -> list[tuple[str, bool, str]]:
    findings = check_state(credential, observation, leftovers, NOW)
    return [(finding.error.code, finding.is_blocking, finding.error.seen) for finding in findings]


def late(facts: Facts, credential: Credential = ORDERS) -> list[tuple[str, bool, str]]:
    findings = check_schedule(credential, facts, find_due(credential, facts, NOW), NOW)
    return [(finding.error.code, finding.is_blocking, finding.error.seen) for finding in findings]


def consumer(**changes: Any) -> Observation:
    return replace(HEALTHY, consumers=(replace(HEALTHY.consumers[0], **changes),))


def test_what_is_as_it_must_be_has_no_findings() -> None:
    assert found_in() == []
    assert late(Facts(NOW - 59 * DAY)) == []


def test_overdue_begins_after_the_limit_and_says_since_when() -> None:
    assert late(Facts(NOW - 60 * DAY)) == []
    assert late(Facts(NOW - 61 * DAY)) == [("Overdue", True, "due since 2026-05-31")]


def test_an_expiry_within_thirty_days_needs_a_person_unless_a_rotation_comes_before() -> None:
    unscheduled = change(SERVER, name="orders-db")
    assert late(Facts(NOW, NOW + 31 * DAY), unscheduled) == []
    assert late(Facts(NOW, NOW + 30 * DAY), unscheduled) == [("ExpiresSoon", True, "on 2026-07-01, in 30 days")]
    planned = change(SERVER, name="orders-db", before_expiry="14d")
    assert late(Facts(NOW, NOW + 20 * DAY), planned) == [("ExpiresSoon", False, "on 2026-06-21, in 20 days")]
    assert late(Facts(NOW, NOW - DAY), unscheduled) == [("Expired", True, "since 2026-05-31")]


@pytest.mark.parametrize(
    ("observation", "code", "is_blocking", "seen"),
    [
        (consumer(synced=Synced.OTHER), "Drifted", True, "its Secret: something else"),
        (consumer(synced=Synced.ABSENT), "Drifted", True, "its Secret: absent"),
        (
            consumer(pods=(replace(HEALTHY.consumers[0].pods[0], versions={"username": "u1", "password": "p0"}),)),
            "Drifted",
            True,
            "the mounts of pod-1 have other versions",
        ),
        (consumer(stopped_replicas=3), "Drifted", True, "a rotation scaled it to 0, from 3"),
        (consumer(pinned_for="r0", pinned={"password": "p1"}), "PinLeft", True, "pinned for rotation r0"),
        (
            replace(HEALTHY, secrets=(HEALTHY.secrets[0], SecretFacts("password", version("p2"), (version("p1"),)))),
            "VersionsEnabled",
            False,
            "1, such as p1",
        ),
        (
            replace(HEALTHY, candidate=replace(STAGED, phase=Phase.DONE)),
            "CandidateLeft",
            False,
            "rotation r1, done, staged 2026-01-01 00:05 UTC",
        ),
        (
            replace(HEALTHY, candidate=STAGED),
            "CandidateLeft",
            True,
            "rotation r1, staged, staged 2026-01-01 00:05 UTC",
        ),
        (replace(HEALTHY, logins=Logins(LoginState.REFUSED)), "Drifted", True, "the login is refused"),
    ],
)
def test_each_disagreement_and_leftover_is_a_finding(
    observation: Observation, code: str, is_blocking: bool, seen: str
) -> None:
    assert (code, is_blocking, seen) in found_in(observation)


@pytest.mark.parametrize(
    "observation",
    [
        consumer(synced=Synced.NONE),
        consumer(synced=Synced.ABSENT, pods=(), replicas=0),
        consumer(
            pods=(replace(HEALTHY.consumers[0].pods[0], versions={}),), unmounted=frozenset({"username", "password"})
        ),
        consumer(
            consumer=consumer_like(DATABASE, kind=WorkloadKind.CRON_JOB, is_database=False),
            pods=(UNREPORTED,),
        ),
    ],
    ids=["no Secret", "no pods", "by a Secret alone", "a job's run"],
)
def test_what_a_consumer_cannot_have_is_no_drift(observation: Observation) -> None:
    assert found_in(observation) == []


def test_a_login_that_does_not_work_says_why_in_its_own_words() -> None:
    error = DatabaseUnreachable("No database answers", name="db:5432", code="08006")
    [finding] = found_in(replace(HEALTHY, logins=Logins(LoginState.UNREACHABLE, error=error)))
    assert finding == ("08006", True, "")


def test_in_the_middle_of_a_rotation_nothing_but_itself_is_looked_at() -> None:
    fresh = replace(STAGED, created_at=NOW - timedelta(minutes=5))
    running = replace(consumer(synced=Synced.OTHER, pinned_for="r1"), candidate=fresh)
    assert found_in(running) == []


def test_in_its_grace_consumers_must_have_the_newest_versions_and_the_previous_login_may_be_enabled() -> None:
    alternating, both = change(DEXTER, strategy=Strategy.ALTERNATING), Leftovers(enabled_logins=("orders", "orders_b"))
    secrets = (HEALTHY.secrets[0], SecretFacts("password", version("p1"), (version("p0"),)))
    grace = replace(HEALTHY, secrets=secrets, candidate=replace(STAGED, phase=Phase.GRACE))
    assert found_in(grace, alternating, both) == []
    drifted = consumer(synced=Synced.OTHER, pinned_for="r1").consumers
    assert [code for code, *_ in found_in(replace(grace, consumers=drifted), alternating, both)] == [
        Code.PIN_LEFT,
        Code.DRIFTED,
    ]
    locked_out = replace(grace, logins=Logins(LoginState.REFUSED, previous=LoginState.WORKS))
    assert found_in(locked_out, alternating, both) == [("Drifted", True, "the login is refused")]


def test_a_lock_that_nobody_renews_and_two_enabled_logins_are_found() -> None:
    held = Leftovers("host/1", NOW - timedelta(minutes=31))
    assert found_in(leftovers=held) == [("LockLeft", False, "by host/1, renewed last 2026-05-31 23:29 UTC")]
    assert found_in(leftovers=replace(held, lock_renewed_at=NOW)) == []
    alternating = change(DEXTER, strategy=Strategy.ALTERNATING)
    both = Leftovers(enabled_logins=("orders", "orders_b"))
    assert found_in(credential=alternating, leftovers=both) == [("BothEnabled", True, "orders, orders_b")]
    assert found_in(credential=alternating, leftovers=Leftovers(enabled_logins=("orders",))) == []


def finding(code: Code, *, is_blocking: bool = True) -> Finding:
    return Finding(KeyturnError(code, name="x", seen="y"), is_blocking)


def test_drift_is_told_from_what_is_late() -> None:
    assert is_drift(finding(Code.DRIFTED))
    assert not is_drift(finding(Code.OVERDUE))


def test_what_is_late_or_drifted_is_an_event_once(monkeypatch: pytest.MonkeyPatch) -> None:
    emitted: list[str] = []
    monkeypatch.setattr(Trail, "emit", lambda self, what, payload: emitted.append(f"{self.subject} {what}"))
    audited = Audited(ORDERS)
    codes = (Code.OVERDUE, Code.EXPIRED, Code.EXPIRES_SOON, Code.DRIFTED, Code.PIN_LEFT, Code.VERSIONS_ENABLED)
    audited.findings = [finding(code) for code in codes]
    audit_report._emit(audited)
    assert emitted == ["orders-db overdue", "orders-db near_expiry", "orders-db drifted"]


def test_a_page_says_first_whether_it_needs_a_person_then_what_was_found_and_where_to_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "s-1")
    facts = Facts(NOW - 61 * DAY, NOW + 9 * DAY)
    audited = Audited(ORDERS, facts, find_due(ORDERS, facts, NOW), last={"verdict": "rolled back", "run": "run-1"})
    audited.findings = [finding(Code.OVERDUE), finding(Code.LOCK_LEFT, is_blocking=False)]
    page = render(audited, NOW)
    assert page.startswith("**orders-db needs a person.**\n\n## Findings\n\n- **The credential should")
    assert "| owner | team orders |" in page
    assert "| age | 61 days |" in page
    assert "| last rotation, verdict | rolled back |" in page
    assert "- **The credential should have been rotated by now**: x. Seen: y. Fix: See how" in page
    assert "(`Overdue`, see `docs/runbook.md#audit`)" in page
    assert "- **warning: A lock is held that nobody renews**" in page
    assert "[secret server-password](https://portal.azure.com/#asset/Microsoft_Azure_KeyVault/Secret/" in page
    assert "resourceGroups/integrateakskv-rg/providers/Microsoft.DBforPostgreSQL/flexibleServers/" in page
    assert "runbook: `docs/runbook.md`" in list_links(audited)
    well = Audited(ORDERS, facts)
    assert render(well, NOW).startswith("**orders-db is well.**")
    assert describe([audited, well]) == "2 credentials, 1 need a person: orders-db; 0 others have warnings."
    assert describe([well]) == "1 credentials, none needs a person; 0 have warnings."
