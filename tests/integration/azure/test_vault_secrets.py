"""How Keyturn's own client of Key Vault reads, writes and remembers versions, and what it makes of refusals."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from azure_world import VAULT, VAULT_ID, AzureWorld

from infra.azure.answers import make_error
from infra.azure.client import Azure
from infra.azure.kinds import kinds_of
from infra.azure.secrets import KeyVault
from infra.azure.versions import VersionMemory
from infra.errors import AccessDenied, Code, Conflict, KeyturnError, NotFound, NotYetPropagated, SecretUnusable
from infra.provisioning.denials import explain_denial
from infra.provisioning.kinds import State
from infra.provisioning.reconciling import find, make
from infra.provisioning.resources import RoleAssignment, Vault, VaultSecret
from infra.rotation.attributes import Attributes
from infra.settings import Settings
from lab.control.faults import Fault

NAME = "password"
SCOPE = Vault(name=VAULT, resource_group="group", location="eastus2", tenant=None)
ACCESS_POLICY = "does not have secrets set permission on key vault 'x;location=eastus2'."
POLICY = 'Secret \'password\' was disallowed by policy. Policies: \'[{"policyDefinition": {"name": "expiry"}}]\'.'


@pytest.fixture
def vault(azure: AzureWorld) -> Iterator[KeyVault]:
    """The vault as a task of a run has it."""
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    with Azure(Settings()) as signed_in:
        yield signed_in.vault(VAULT, VersionMemory())


@pytest.fixture
def slow_vault(make_azure: Callable[..., AzureWorld]) -> Iterator[KeyVault]:
    """A vault that takes its time to delete and to purge."""
    make_azure(operation_seconds=0.6).let_operator("Key Vault Secrets Officer", VAULT_ID)
    with Azure(Settings()) as signed_in:
        yield signed_in.vault(VAULT)


@pytest.fixture
def count(azure: AzureWorld) -> Callable[[], int]:
    """Says how many requests the vault has had since it was asked last."""
    seen = [0]

    def ask() -> int:
        sent = azure.cloud.requests.counts()["operator"][f"{VAULT}.vault.azure.net"]
        seen.append(sent)
        return sent - seen[-2]

    return ask


def refuse(azure: AzureWorld, code: str, inner: str, message: str, status: int = 403, **rule: object) -> None:
    error = {"code": code, "message": message, **({"innererror": {"code": inner}} if inner else {})}
    azure.faults.add(Fault(host="*.vault.azure.net", status=status, body=json.dumps({"error": error}), **rule))  # type: ignore[arg-type]


def test_a_version_has_all_the_attributes_that_it_is_written_with(vault: KeyVault) -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    attributes = Attributes("text/plain", moment + timedelta(days=9), moment, {"owner": "shop"})
    written = vault.write(NAME, "first", attributes=attributes)
    found = vault.find_latest(NAME)
    assert found == written
    assert written.attributes == attributes
    assert vault.list_versions(NAME) == [written]
    assert vault.write(NAME, "second").attributes == Attributes()


def test_a_run_lists_the_versions_once_and_knows_what_it_has_changed_itself(
    vault: KeyVault, count: Callable[[], int]
) -> None:
    first, second = vault.write(NAME, "first"), vault.write(NAME, "second")
    vault.find_latest(NAME)
    count()
    assert vault.list_all(NAME) == [second, first]
    assert count() == 2, "the newest, and a list of one page"
    third = vault.write(NAME, "third", {"rotation_id": "r1"})
    vault.set_enabled(NAME, first.version, False)
    vault.set_tags(NAME, third.version, {"rotation_id": "r2"})
    count()
    seen = vault.list_all(NAME)
    assert count() == 1
    assert seen[0].version == third.version
    assert {found.version: found.enabled for found in seen} == {
        third.version: True,
        second.version: True,
        first.version: False,
    }
    assert seen[0].tags == {"rotation_id": "r2"}
    assert {found.version: found for found in seen} == {found.version: found for found in vault.list_versions(NAME)}


def test_a_version_that_somebody_else_writes_is_noticed(azure: AzureWorld, vault: KeyVault) -> None:
    vault.write(NAME, "first")
    known = vault.list_all(NAME)
    theirs = azure.secrets().set_secret(NAME.upper(), "theirs").properties.version
    assert [found.version for found in vault.list_all(NAME)] == [theirs, *(found.version for found in known)]
    azure.secrets().begin_delete_secret(NAME).wait()
    assert vault.find_latest(NAME) is None
    with pytest.raises(NotFound) as caught:
        vault.list_all(NAME)
    assert caught.value.code == "SecretNotFound"


def test_a_disabled_newest_version_is_the_newest_all_the_same(vault: KeyVault) -> None:
    first, second = vault.write(NAME, "first"), vault.write(NAME, "second")
    vault.set_enabled(NAME, second.version, False)
    found = vault.list_all(NAME)
    assert [(version.version, version.enabled) for version in found] == [(second.version, False), (first.version, True)]


def test_a_task_reads_the_value_of_a_version_once_and_the_newest_version_always(
    vault: KeyVault, count: Callable[[], int]
) -> None:
    first = vault.write(NAME, "first")
    count()
    assert (vault.read(NAME, first.version), count()) == ("first", 0)
    assert (vault.read(NAME), count()) == ("first", 1)


def test_a_secret_that_a_run_found_absent_or_deleted_is_not_looked_for_again(
    azure: AzureWorld, vault: KeyVault, count: Callable[[], int]
) -> None:
    assert vault.find_last_seen(NAME) is None
    count()
    assert (vault.find_last_seen(NAME), vault.is_known_absent(NAME.upper()), count()) == (None, True, 0)
    written = vault.write(NAME, "first")
    assert (vault.find_last_seen(NAME), vault.is_known_absent(NAME), count()) == (written, False, 1)
    vault.delete(NAME, waits=False)
    assert (vault.find_last_seen(NAME), count()) == (None, 1)
    azure.secrets().begin_recover_deleted_secret(NAME).wait()
    assert vault.find_latest(NAME) == written, "each look is a request"


def test_a_run_looks_again_after_a_write_without_an_answer(azure: AzureWorld, vault: KeyVault) -> None:
    assert vault.find_last_seen(NAME) is None
    azure.faults.add(Fault(host="*.vault.azure.net", method="PUT", status=400, body="{}", late=True, times=1))
    with pytest.raises(KeyturnError):
        vault.write(NAME, "first")
    found = vault.find_last_seen(NAME)
    assert found is not None
    assert found.version == azure.secrets().get_secret(NAME).properties.version


def test_a_secret_is_purged_as_soon_as_key_vault_has_deleted_it(slow_vault: KeyVault) -> None:
    slow_vault.write(NAME, "first")
    slow_vault.delete(NAME, waits=False)
    with pytest.raises(NotFound):
        slow_vault.purge(NAME)
    slow_vault.purge(NAME, waits=True)
    with pytest.raises(Conflict):  # it is being purged
        slow_vault.purge(NAME)


def test_a_name_that_a_purge_still_holds_is_waited_for(slow_vault: KeyVault) -> None:
    slow_vault.write(NAME, "first")
    slow_vault.delete(NAME)
    slow_vault.purge(NAME)
    assert slow_vault.find_deleted(NAME)
    assert slow_vault.write(NAME, "second").name == NAME
    assert slow_vault.read(NAME) == "second"


def test_a_purge_that_does_not_end_is_not_waited_for_longer_than_a_minute(
    azure: AzureWorld, vault: KeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(azure, "Conflict", "ObjectIsBeingDeleted", "Secret password is currently being deleted.", 409, method="PUT")
    monkeypatch.setattr("infra.azure.secrets._PURGED_WITHIN_SECONDS", 0.5)
    with pytest.raises(Conflict) as caught:
        vault.write(NAME, "second")
    assert (caught.value.code, caught.value.fix) == ("ObjectIsBeingDeleted", Code.OBJECT_IS_BEING_DELETED.fix)


@pytest.mark.parametrize(
    ("code", "inner", "message", "expected"),
    [
        ("Forbidden", "ForbiddenByFirewall", "Client address is not authorized.", Code.FORBIDDEN_BY_FIREWALL),
        ("Forbidden", "ForbiddenByConnection", "Public network access is disabled.", Code.FORBIDDEN_BY_CONNECTION),
        ("Forbidden", "ForbiddenByPolicy", ACCESS_POLICY, Code.FORBIDDEN_BY_POLICY),
        ("Forbidden", "ForbiddenByPolicy", POLICY, Code.REQUEST_DISALLOWED_BY_POLICY),
        ("Forbidden", "", POLICY, Code.REQUEST_DISALLOWED_BY_POLICY),
        ("RequestDisallowedByPolicy", "", "Resource 'x' was denied.", Code.REQUEST_DISALLOWED_BY_POLICY),
        ("DenyAssignmentAuthorizationFailed", "", "A deny assignment.", Code.DENY_ASSIGNMENT),
        ("AuthorizationFailure", "", "This request is not authorized.", Code.ADDRESS_REFUSED),
    ],
)
def test_a_refusal_that_no_role_helps_against_names_its_own_cause_and_fix_and_is_final(
    azure: AzureWorld, vault: KeyVault, code: str, inner: str, message: str, expected: Code
) -> None:
    refuse(azure, code, inner, message, method="PUT")
    with pytest.raises(AccessDenied) as caught:
        vault.write(NAME, "first")
    error = caught.value
    assert (error.code, error.fix, error.seen) == (expected, expected.fix, message)
    told = make_error("The machine cannot read the secret", NAME, inner or code, message)
    assert (type(told), told.code, told.fix) == (AccessDenied, expected, expected.fix)
    needed = RoleAssignment(name="Key Vault Secrets Officer", scope=SCOPE, principal=None)
    assert explain_denial(error, needed, {}) is error, "no role is looked up, and nothing is waited for"
    azure.faults.clear()
    assert vault.find_latest(NAME) is None


@pytest.mark.parametrize("code", [Code.SECRET_DISABLED, Code.SECRET_EXPIRED, Code.SECRET_NOT_YET_VALID])
def test_a_secret_that_is_itself_the_cause_is_unusable(azure: AzureWorld, vault: KeyVault, code: Code) -> None:
    refuse(azure, "Forbidden", code, "Operation get is not allowed on such a secret.")
    with pytest.raises(SecretUnusable) as caught:
        vault.read(NAME, "0123")
    assert (caught.value.code, caught.value.fix) == (code, code.fix)


def test_a_missing_role_is_named_and_a_cause_that_nobody_knows_is_left_to_azures_words(
    azure: AzureWorld, vault: KeyVault
) -> None:
    refuse(azure, "Forbidden", "ForbiddenByRbac", "Caller is not authorized.", times=1)
    with pytest.raises(AccessDenied, match=f"Fix: Assign the role Key Vault Secrets User on the vault {VAULT}"):
        vault.read(NAME)
    refuse(azure, "Forbidden", "", 'Operation "purge" is not enabled for this vault.', times=1)
    with pytest.raises(AccessDenied) as caught:
        vault.purge(NAME)
    assert caught.value.fix.startswith("See what Azure says. If a right is missing: Assign the role")


def test_provisioning_waits_for_a_role_and_for_nothing_else(azure: AzureWorld, vault: KeyVault) -> None:
    wanted = VaultSecret(name=NAME, parent=VAULT)
    with Azure(Settings()) as signed_in:
        kinds = kinds_of(signed_in, "group")
        refuse(azure, "Forbidden", "ForbiddenByRbac", "Caller is not authorized.")
        seen = find(kinds, wanted)
        assert seen is not None
        assert (seen.state, seen.code) == (State.HIDDEN, "ForbiddenByRbac")
        with pytest.raises(NotYetPropagated):
            make(kinds, wanted, lambda said: None)
        azure.faults.clear()
        refuse(azure, "Forbidden", "ForbiddenByFirewall", "Client address is not authorized.", method="PUT")
        with pytest.raises(KeyturnError) as written:
            make(kinds, wanted, lambda said: None)
        refuse(azure, "Forbidden", "ForbiddenByFirewall", "Client address is not authorized.")
        with pytest.raises(KeyturnError) as read:
            find(kinds, wanted)
    for caught in (written, read):
        assert (type(caught.value), caught.value.code) == (AccessDenied, Code.FORBIDDEN_BY_FIREWALL)
