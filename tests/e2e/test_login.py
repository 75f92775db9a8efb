"""Logins as the flow proves them: through the load balancer, and through the Flexible Server over verified TLS."""

import uuid
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from rotating import STACK, World, rotate

from flows.provision import provision
from flows.verify_login import Verified, verify_login
from infra.errors import KeyturnError, LoginRefused, NotFound, SecretUnusable, Unverified
from infra.postgres.connection import connected
from infra.targets import LoginOptions, LoginTarget, ProvisionOptions, Through

SERVICE, SERVER = LoginTarget(), LoginTarget(through=Through.SERVER)
HOST = "sonarqube-postgresql3.postgres.database.azure.com"


def run(target: LoginTarget, **options: Any) -> State[Any]:
    return verify_login(target, LoginOptions(timeout_seconds=20, **options), return_state=True)


def proven(target: LoginTarget, **options: Any) -> Verified:
    state = run(target, **options)
    assert state.name == "Verified", state.message
    verified = state.result()
    assert isinstance(verified, Verified)
    return verified


def refused(target: LoginTarget) -> KeyturnError:
    error = run(target).result(raise_on_failure=False)
    assert isinstance(error, KeyturnError), error
    return error


def changed(target: LoginTarget, **fields: str) -> LoginTarget:
    return LoginTarget.model_validate({**target.model_dump(), **fields})


def write(world: World, target: LoginTarget, *credentials: tuple[str, str]) -> None:
    """Write the versions of a target's secrets, one after the other."""
    for username, password in credentials:
        world.vault.write(target.username_secret, username)
        world.vault.write(target.password_secret, password)


@pytest.fixture
def spares(world: World) -> LoginTarget:
    """A target with new secrets of its own, the same two in either way."""
    mark = uuid.uuid4().hex[:8]
    names = {"username_secret": f"spare-username-{mark}", "password_secret": f"spare-password-{mark}"}
    return changed(SERVICE, **names, **{f"server_{field}": name for field, name in names.items()})


def test_a_login_through_the_load_balancer_lists_the_databases(world: World) -> None:
    login = proven(SERVICE).login
    assert login.tls is None
    assert {"postgres", "template0", "template1"} <= {one.name for one in login.databases}


def test_a_login_through_the_server_is_over_verified_tls_and_lists_its_databases(world: World) -> None:
    login = proven(SERVER).login
    assert login.tls is not None
    assert login.tls.protocol in ("TLSv1.2", "TLSv1.3")
    assert login.tls.verified_name == HOST
    assert {"azure_maintenance", "azure_sys", "postgres"} <= {one.name for one in login.databases}


def test_after_a_rotation_the_old_login_is_refused_and_the_server_is_as_it_was(world: World) -> None:
    administrator = [world.vault.get_latest(name).version for name in ("server-username", "server-password")]
    assert rotate(sync="express").name == "Rotated"
    older = proven(SERVICE).older
    assert older
    assert {one.outcome for one in older} == {"disabled: nobody can read it"}
    assert proven(SERVER).login.tls is not None
    assert [world.vault.get_latest(name).version for name in ("server-username", "server-password")] == administrator
    state = provision(STACK, ProvisionOptions(), return_state=True)
    assert state.name == "Unchanged", state.message
    assert "nothing to change" in state.message


def test_an_older_login_that_can_still_be_read_is_tried_and_refused(world: World) -> None:
    versions = {name: world.vault.list_versions(name)[1].version for name in ("username", "password")}
    for name, version in versions.items():
        world.vault.set_enabled(name, version, True)
    try:
        older = proven(SERVICE).older
    finally:
        for name, version in versions.items():
            world.vault.set_enabled(name, version, False)
    assert older[0].outcome == "refused (28P01)"
    assert (older[0].username_version, older[0].password_version) == (versions["username"], versions["password"])


def test_an_older_login_that_still_works_is_not_verified(world: World, spares: LoginTarget) -> None:
    username, password = world.values()
    with connected(world.endpoint, username, password, world.settings) as connection:
        connection.execute("CREATE ROLE lingering LOGIN PASSWORD 'still-here-1'")
    try:
        write(world, spares, ("lingering", "still-here-1"), (username, password))
        error = refused(spares)
    finally:
        with connected(world.endpoint, username, password, world.settings) as connection:
            connection.execute("DROP ROLE lingering")
    assert type(error) is Unverified
    assert error.code == "OldLoginWorks"
    newest = world.vault.get_latest(spares.username_secret).version
    (older,) = {one.version for one in world.vault.list_versions(spares.username_secret)} - {newest}
    assert older in error.seen
    assert "still-here-1" not in str(error)


def test_who_asks_for_no_older_logins_gets_none(world: World) -> None:
    assert proven(SERVICE, check_older=False).older == ()


@pytest.mark.parametrize("through", [Through.SERVICE, Through.SERVER])
def test_a_password_that_the_database_never_got_is_refused(world: World, spares: LoginTarget, through: Through) -> None:
    write(world, spares, (world.values()[0], "never-given-1"))
    error = refused(changed(spares, through=through))
    assert type(error) is LoginRefused
    assert error.code == "28P01"
    assert "never-given-1" not in str(error)


@pytest.mark.parametrize("target", [SERVICE, SERVER], ids=["service", "server"])
def test_a_secret_that_does_not_exist_is_named(world: World, target: LoginTarget) -> None:
    error = refused(changed(target, password_secret="nosuch", server_password_secret="nosuch"))
    assert type(error) is NotFound
    assert (error.name, error.code) == ("dexterkeyvault/nosuch", "SecretNotFound")


def test_a_newest_version_that_is_disabled_is_named(world: World, spares: LoginTarget) -> None:
    write(world, spares, world.values())
    newest = world.vault.get_latest(spares.password_secret).version
    world.vault.set_enabled(spares.password_secret, newest, False)
    error = refused(spares)
    assert type(error) is SecretUnusable
    assert (error.name, error.code) == (f"dexterkeyvault/{spares.password_secret}", "SecretDisabled")


def test_a_server_that_does_not_exist_is_named(world: World) -> None:
    error = refused(changed(SERVER, server="nosuchserver"))
    assert type(error) is Unverified, "whoever answers, it is another"
    assert "nosuchserver.postgres.database.azure.com" in str(error)


def test_a_service_that_does_not_exist_is_named(world: World) -> None:
    error = refused(changed(SERVICE, service="nosuchservice"))
    assert type(error) is NotFound
    assert "nosuchservice" in str(error)
