"""The audit against a lab: it finds nothing where all is well, says what disagrees, and changes nothing."""

from typing import Any

import pytest
from prefect.client.schemas.objects import State
from reports import artifacts, rows, verdict

from flows.audit import audit
from infra.credentials import Strategy
from testing.inventory import listed
from testing.rotating import NAMESPACE, World
from testing.rotator import ROLE_NAMES, bind
from testing.waiting import eventually
from testing.walkthrough import DEXTER, SERVER, change


def run(*credentials: str) -> State[Any]:
    return audit(credentials, return_state=True)  # type: ignore[call-overload,no-any-return]


def found(credential: str, state: State[Any]) -> list[str]:
    """Return the codes of what was found at a credential."""
    [row] = [row for row in rows("audit", state) if row["credential"] == credential]
    return row["found"].split(", ") if row["found"] else []


@pytest.fixture
def scheduled(world: World) -> World:
    listed(change(DEXTER, strategy=Strategy.IN_PLACE, every="60d"))
    listed(SERVER)
    return world


def test_what_disagrees_is_on_the_credentials_page_and_nothing_is_changed(scheduled: World) -> None:
    world = scheduled
    state = run()
    assert (state.name, verdict(state)) == ("Completed", "all well"), state.message
    assert not set(found("dexter", state)) - {"VersionsEnabled"}
    pages = {artifact.key: str(artifact.data) for artifact in artifacts(state)}
    assert pages["dexter-audit"].startswith("**dexter is well.**")
    assert "data:image/svg+xml;base64," in pages["audit-page"]
    assert {"dexter-audit", "dexter-server-audit", "audit", "audit-page"} <= set(pages)

    bind(world.cluster, NAMESPACE, tuple(role for role in ROLE_NAMES if role != "keyturn-consumers"))
    try:
        state = run("dexter")
    finally:
        bind(world.cluster, NAMESPACE)
    assert (state.name, found("dexter", state)) == ("Failed", ["RightsMissing"])
    assert "kubectl create rolebinding keyturn-consumers" in str(artifacts(state))

    before, right = world.newest_versions(), world.values()[1]
    wrong = "a-password-that-nobody-set"
    world.vault.write("password", wrong)
    try:
        broken = world.newest_versions()
        state = run("dexter")
        assert (state.name, verdict(state)) == ("Failed", "needs operator")
        assert "Some credentials of the fleet need a person: dexter." in (state.message or "")
        assert {"28P01", "VersionsEnabled"} <= set(found("dexter", state))
        [page] = [str(artifact.data) for artifact in artifacts(state) if artifact.key == "dexter-audit"]
        assert page.startswith("**dexter needs a person.**")
        assert wrong not in str(artifacts(state))
        assert world.newest_versions() == broken != before
    finally:
        world.vault.write("password", right)
        eventually(lambda: world.secret_holds(world.values()), "the right password in the Secret", 30)


def test_a_credential_that_does_not_exist_is_named(scheduled: World) -> None:
    state = run("orders-bd")
    assert (state.name, verdict(state)) == ("Failed", "failed")
    assert "The inventory has no such credential: orders-bd" in (state.message or "")
