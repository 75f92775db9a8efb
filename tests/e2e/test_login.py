"""Logins as the flow proves them: through the load balancer, and through the Flexible Server over verified TLS."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from clients import IN_PLACE
from killing import kill
from prefect.client.schemas.objects import State
from reports import verdict

from flows.provision import provision
from flows.verify_login import Verified, verify_login
from infra.credentials import Credential, Login, SecretPair
from infra.errors import KeyturnError, LoginRefused, NotFound, SecretUnusable, Unverified
from infra.rotation.candidate import Staged, dump_candidate, name_candidate
from infra.rotation.execution import Verdict
from testing import bare
from testing.inventory import listed
from testing.rotating import PROVISIONED, STACK, World, rotate
from testing.walkthrough import DEXTER, SERVER

HOST = "sonarqube-postgresql3.postgres.database.azure.com"


def run(credential: Credential, **parameters: Any) -> State[Any]:
    return bare.run(verify_login, listed(credential), timeout_seconds=20, **parameters)


def proven(credential: Credential, **parameters: Any) -> Verified:
    state = run(credential, **parameters)
    assert verdict(state) == "verified", state.message
    assert isinstance(state.data, Verified)
    return state.data


def refused(credential: Credential) -> KeyturnError:
    error = run(credential).data
    assert isinstance(error, KeyturnError), error
    return error


def changed(credential: Credential, **fields: object) -> Credential:
    return credential.model_copy(update={"name": "changed", **fields})


def write(world: World, credential: Credential, *logins: tuple[str, str]) -> None:
    """Write the versions of a credential's secrets, one login after the other."""
    for login in logins:
        for name, value in credential.secrets.render(Login(*login)).items():
            world.vault.write(name, value)


@pytest.fixture
def spares() -> SecretPair:
    """Two secrets that no other test uses."""
    mark = uuid.uuid4().hex[:8]
    return SecretPair(username=f"spare-username-{mark}", password=f"spare-password-{mark}")


def test_a_login_through_the_load_balancer_lists_the_databases(world: World) -> None:
    state = verify_login(listed(DEXTER), timeout_seconds=20, return_state=True)
    assert verdict(state) == "verified", state.message
    server = state.result().server
    assert server.tls is None
    assert {"postgres", "template0", "template1"} <= {database.name for database in server.databases}


def test_a_login_through_the_server_is_over_verified_tls_and_lists_its_databases(world: World) -> None:
    server = proven(SERVER).server
    assert server.tls is not None
    assert server.tls.protocol in ("TLSv1.2", "TLSv1.3")
    assert server.tls.verified_name == HOST
    assert {"azure_maintenance", "azure_sys", "postgres"} <= {database.name for database in server.databases}


@pytest.mark.owner
def test_after_a_rotation_the_old_login_is_refused_and_the_server_is_as_it_was(world: World) -> None:
    administrator = [world.vault.get_latest(name).version for name in ("server-username", "server-password")]
    assert rotate(sync="express").verdict is Verdict.ROTATED
    older = proven(DEXTER).older
    assert older
    assert {tried.outcome for tried in older} == {"disabled: nobody can read it"}
    assert proven(SERVER).server.tls is not None
    assert [world.vault.get_latest(name).version for name in ("server-username", "server-password")] == administrator
    state = bare.run(provision, STACK.name, advanced=PROVISIONED)
    assert "unchanged" in state.message, state.message
    assert "Nothing to change" in state.message


def test_an_older_login_that_can_still_be_read_is_tried_and_refused(world: World) -> None:
    versions = {name: world.vault.list_versions(name)[1].version for name in ("username", "password")}
    for name, version in versions.items():
        world.vault.set_enabled(name, version, True)
    try:
        older = proven(DEXTER).older
    finally:
        for name, version in versions.items():
            world.vault.set_enabled(name, version, False)
    assert {tried.outcome for tried in older if tried.versions == versions} == {"refused (28P01)"}


def test_an_older_login_that_still_works_is_not_verified(world: World, spares: SecretPair) -> None:
    current, credential = world.values(), changed(DEXTER, secrets=spares)
    database = world.database
    with database.connected(Login(*current)) as connection:
        connection.execute("CREATE ROLE lingering LOGIN PASSWORD 'still-here-1'")
    try:
        write(world, credential, ("lingering", "still-here-1"), current)
        error = refused(credential)
    finally:
        with database.connected(Login(*current)) as connection:
            connection.execute("DROP ROLE lingering")
    assert type(error) is Unverified
    assert error.code == "OldLoginWorks"
    newest = world.vault.get_latest(spares.username).version
    (older,) = {found.version for found in world.vault.list_versions(spares.username)} - {newest}
    assert older in error.seen
    assert "still-here-1" not in str(error)


@pytest.fixture
def lingering(world: World) -> Iterator[tuple[str, str]]:
    """A login that still works, beside the newest versions."""
    with world.session() as connection:
        connection.execute("CREATE ROLE lingering LOGIN PASSWORD 'still-here-1'")
    yield "lingering", "still-here-1"
    with world.session() as connection:
        connection.execute("DROP ROLE lingering")


def test_every_older_password_is_tried_with_the_one_username_that_there_is(world: World, spares: SecretPair) -> None:
    credential, current = changed(DEXTER, secrets=spares), world.values()
    world.vault.write(spares.username, current[0])
    older = [world.vault.write(spares.password, value).version for value in ("older-1", "older-2")]
    world.vault.write(spares.password, current[1])
    tried = proven(credential).older
    assert {each.versions[spares.password] for each in tried} == set(older)
    assert {each.outcome for each in tried} == {"refused (28P01)"}


def test_a_password_is_tried_with_each_username_of_its_time(
    world: World, spares: SecretPair, lingering: tuple[str, str]
) -> None:
    credential, current = changed(DEXTER, secrets=spares), world.values()
    world.vault.write(spares.username, "nobody")
    write(world, credential, lingering)
    world.vault.write(spares.username, "somebody")
    write(world, credential, current)
    error = refused(credential)
    assert (type(error), error.code) == (Unverified, "OldLoginWorks")
    assert lingering[1] not in str(error)


def test_an_unfinished_rotation_explains_a_newest_version_that_the_database_has_not_yet(world: World) -> None:
    before = world.values()
    assert kill("after", "write password", IN_PLACE) == "killed after write password"
    assert world.values() != before
    try:
        state = run(DEXTER)
        assert verdict(state) == "unfinished rotation", state.message
        assert state.name == "Completed"
        assert "the newest versions are not in force now" in state.message
        assert state.data.unfinished in state.message
    finally:
        assert rotate(IN_PLACE, sync="express").verdict is Verdict.ROTATED
    assert proven(DEXTER).unfinished == ""


def test_an_unfinished_rotation_explains_no_other_older_login_that_works(
    world: World, spares: SecretPair, lingering: tuple[str, str]
) -> None:
    credential, current = changed(DEXTER, secrets=spares), world.values()
    write(world, credential, lingering, current)
    base = ",".join(world.vault.get_latest(name).version for name in spares.names)
    tags = {"rotation_id": "r1", "phase": "staged", "strategy": "in-place", "base_versions": base}
    world.vault.write(name_candidate(spares.names), dump_candidate(Staged(Login(current[0], "new-1"))), tags)
    error = refused(credential)
    assert (type(error), error.code) == (Unverified, "OldLoginWorks")


def test_who_asks_for_no_older_logins_gets_none(world: World) -> None:
    assert proven(DEXTER, check_older=False).older == ()


@pytest.mark.parametrize("credential", [DEXTER, SERVER], ids=["service", "server"])
def test_a_password_that_the_database_never_got_is_refused(
    world: World, spares: SecretPair, credential: Credential
) -> None:
    spare = changed(credential, secrets=spares)
    write(world, spare, (world.values()[0], "never-given-1"))
    error = refused(spare)
    assert type(error) is LoginRefused
    assert error.code == "28P01"
    assert "never-given-1" not in str(error)


@pytest.mark.parametrize("credential", [DEXTER, SERVER], ids=["service", "server"])
@pytest.mark.usefixtures("world")
def test_a_secret_that_does_not_exist_is_named(credential: Credential) -> None:
    secrets = credential.secrets.model_copy(update={"password": "nosuch"})
    error = refused(changed(credential, secrets=secrets))
    assert type(error) is NotFound
    assert (error.name, error.code) == ("dexterkeyvault/nosuch", "SecretNotFound")


def test_a_newest_version_that_is_disabled_is_named(world: World, spares: SecretPair) -> None:
    credential = changed(DEXTER, secrets=spares)
    write(world, credential, world.values())
    world.vault.set_enabled(spares.password, world.vault.get_latest(spares.password).version, False)
    error = refused(credential)
    assert type(error) is SecretUnusable
    assert (error.name, error.code) == (f"dexterkeyvault/{spares.password}", "SecretDisabled")


@pytest.mark.usefixtures("world")
def test_a_server_that_does_not_exist_is_named() -> None:
    endpoint = SERVER.endpoint.model_copy(update={"server": "nosuchserver"})
    error = refused(changed(SERVER, endpoint=endpoint))
    assert type(error) is Unverified, "whoever answers, it is another"
    assert "nosuchserver.postgres.database.azure.com" in str(error)


@pytest.mark.usefixtures("world")
def test_a_service_that_does_not_exist_is_named() -> None:
    endpoint = DEXTER.endpoint.model_copy(update={"service": "nosuchservice"})
    error = refused(changed(DEXTER, endpoint=endpoint))
    assert type(error) is NotFound
    assert "nosuchservice" in str(error)


@pytest.mark.usefixtures("world")
def test_a_credential_that_the_inventory_does_not_have_is_named() -> None:
    error = bare.run(verify_login, "nosuchcredential").data
    assert type(error) is NotFound
    assert error.name == "nosuchcredential"
    assert "dexter-server" in error.seen


@pytest.mark.usefixtures("world")
def test_a_flexible_server_is_verified_without_its_cluster() -> None:
    cluster = SERVER.cluster.model_copy(update={"name": "nosuchcluster"})
    assert proven(changed(SERVER, cluster=cluster)).server.tls is not None
