"""The provision flow on the lab: from nothing to everything, twice, changed, refused, killed and gone on with."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from changed_stacks import ChangeStack
from emptied import entered, is_empty, make_empty_lab
from prefect.client.schemas.objects import State
from prefect_server import kept_by_prefect
from reports import rows, verdict

from flows.provision import Provisioned, provision
from infra.azure.client import Azure
from infra.azure.servers import FirewallRules
from infra.errors import CannotChange, InvalidInput, KeyturnError
from infra.provisioning.resources import FirewallRule
from infra.settings import Settings
from testing import bare
from testing.labs import ROOT, RunningLab
from testing.rotating import PROVISIONED, STACK, World, run_python

pytestmark = pytest.mark.owner

ADDRESSES = {"first_address": "203.0.113.1", "last_address": "203.0.113.9"}
STRONG, VARIABLE = "Canary-2931-first", "KEYTURN_TEST_FIRST_PASSWORD"


def run(dry_run: bool = False, **options: Any) -> State[Any]:
    return provision(STACK.name, dry_run, PROVISIONED.model_copy(update=options), return_state=True)


def run_bare(**options: Any) -> State[Any]:
    return bare.run(provision, STACK.name, False, PROVISIONED.model_copy(update=options))


def ended(dry_run: bool = False, **options: Any) -> Provisioned:
    state = run(dry_run, **options)
    provisioned = state.result()
    assert isinstance(provisioned, Provisioned)
    assert (state.name, verdict(state)) == ("Completed", provisioned.verdict)
    return provisioned


def planned(**options: Any) -> tuple[Provisioned, list[dict[str, str]]]:
    """What a dry run comes to, and its plan."""
    state = run(dry_run=True, **options)
    provisioned = state.result()
    assert isinstance(provisioned, Provisioned)
    assert (state.name, provisioned.verdict) == ("Completed", "planned")
    return provisioned, rows("provision-plan", state)


def refused(**options: Any) -> KeyturnError:
    error = run_bare(**options).data
    assert isinstance(error, KeyturnError), error
    return error


def addresses() -> dict[str, str]:
    """What reaches the server."""
    with Azure(Settings()) as azure:
        rule = FirewallRule(name="keyturn", parent=STACK.server)
        found = FirewallRules(azure, STACK.resource_group).find(rule)
    assert found
    assert isinstance(found.resource, FirewallRule)
    return {name: getattr(found.resource, name) for name in ADDRESSES}


@pytest.fixture(scope="module")
def empty_lab(prefect_api: str) -> Iterator[RunningLab]:
    with make_empty_lab() as lab:
        yield lab


@pytest.fixture
def empty(empty_lab: RunningLab) -> Iterator[None]:
    """A subscription with nothing in it."""
    with entered(empty_lab):
        assert is_empty()
        yield


@pytest.fixture
def addresses_as_before(world: World) -> Iterator[None]:
    """The stack as it was, whatever the test changed."""
    yield
    run_bare()


def test_a_dry_run_on_nothing_shows_the_plan_and_makes_nothing(empty: None) -> None:
    provisioned, plan = planned()
    assert list(provisioned.counts) == ["create"]
    assert {row["action"] for row in plan} == {"create"}
    assert len(plan) == provisioned.counts["create"]
    assert {"vault dexterkeyvault", "Flexible Server sonarqube-postgresql3"} <= {row["resource"] for row in plan}
    assert is_empty()


def test_everything_is_made_from_nothing_and_a_second_run_changes_nothing(
    empty: None,
    changed: ChangeStack,
    prefect_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(VARIABLE, STRONG)
    stack = changed(first_password_variable=VARIABLE)
    first = ended()
    assert (first.verdict, list(first.counts)) == ("provisioned", ["create"])
    with Azure(Settings()) as azure:
        vault = azure.vault(stack.vault)
        assert (vault.read("username"), vault.read("password")) == ("dexter", STRONG)
        assert vault.read("server-username") == "dexter"
        values = (STRONG, vault.read("server-password"))
    assert values[1] not in ("", STRONG)
    second = ended()
    assert second.verdict == "unchanged"
    assert second.counts == {"leave": first.counts["create"]}
    assert not any(value in text for value in values for text in capfd.readouterr())
    kept = list(kept_by_prefect(prefect_home))
    assert "table flow_run" in [name for name, content in kept if b"walkthrough: provisioned" in content]
    assert [name for name, content in kept if any(value.encode() in content for value in values)] == []


@pytest.mark.parametrize(("when", "nth"), [("after", 9), pytest.param("before", 24, marks=pytest.mark.slow)])
def test_a_provisioning_that_is_killed_midway_is_finished_by_the_next(empty: None, when: str, nth: int) -> None:
    script = ROOT / "tests/e2e/killed_provisioning.py"
    process = run_python(script, when, str(nth))
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, printed[-3000:]
    next_run = run_bare().data
    assert next_run.verdict == "provisioned"
    assert next_run.counts["leave"] > 0, "what the killed one made is left"
    assert run_bare().data.verdict == "unchanged"


def test_what_differs_is_changed_in_place_after_a_dry_run_has_shown_it(world: World, addresses_as_before: None) -> None:
    before = addresses()
    plan, steps = planned(**ADDRESSES)
    assert plan.counts["change"] == 1
    row = next(row for row in steps if row["action"] == "change")
    assert row["resource"] == "firewall rule sonarqube-postgresql3/keyturn"
    assert "first address: 0.0.0.0 -> 203.0.113.1" in row["why"]
    assert addresses() == before
    made = ended(**ADDRESSES)
    assert made.verdict == "provisioned"
    assert made.counts == plan.counts
    assert addresses() == ADDRESSES


def test_what_cannot_be_changed_in_place_is_refused_by_name_and_nothing_is_changed(
    world: World, changed: ChangeStack
) -> None:
    before = addresses()
    changed(location="westus")
    error = refused(**ADDRESSES)
    assert type(error) is CannotChange
    assert "resource group integrateakskv-rg" in error.name
    assert "resource group integrateakskv-rg: location is eastus2, wanted westus" in error.seen
    assert "nothing was changed" in error.fix
    assert addresses() == before


@pytest.mark.parametrize(
    ("value", "code"),
    [("", "FirstPasswordMissing"), ("Sh0rt!", "FirstPasswordWeak"), ("onlylowercase", "FirstPasswordWeak")],
)
def test_a_first_password_that_is_missing_or_weak_is_refused_without_being_said(
    empty: None,
    changed: ChangeStack,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    value: str,
    code: str,
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    changed(first_password_variable=VARIABLE)
    error = refused()
    assert type(error) is InvalidInput
    assert (error.code, error.name) == (code, VARIABLE)
    assert not value or value not in "".join(capfd.readouterr())
    assert not value or value not in str(error)
    assert is_empty()


def test_a_first_username_that_a_server_does_not_accept_is_refused(empty: None, changed: ChangeStack) -> None:
    changed(first_username="azure_superuser")
    error = refused()
    assert type(error) is InvalidInput
    assert (error.name, error.seen) == ("first_username", "azure_superuser")
    assert is_empty()
