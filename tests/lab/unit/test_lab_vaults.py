"""Vaults as a store: what the data plane and ARM build on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.azure.errors import AzureError
from lab.azure.key_vault.limits import Limits
from lab.azure.key_vault.store import VaultStore
from lab.azure.key_vault.vault import Vault

NAME = "dexterkeyvault"


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vaults(clock: Clock) -> VaultStore:
    return VaultStore(clock)


@pytest.fixture
def vault(vaults: VaultStore) -> Vault:
    return vaults.create(f"/subscriptions/x/{NAME}", NAME, "eastus2")


def test_a_name_is_taken_whatever_its_case(vaults: VaultStore, vault: Vault) -> None:
    with pytest.raises(AzureError) as caught:
        vaults.create("/subscriptions/y", NAME.upper(), "westus")
    assert (caught.value.status, caught.value.code) == (409, "VaultAlreadyExists")
    assert vaults.live() == [vault]


def test_a_deleted_vault_keeps_name_and_secrets_until_it_is_purged(vaults: VaultStore, vault: Vault) -> None:
    vault.set_secret("username", "dexter")
    vaults.delete(NAME)
    assert vaults.find(NAME) is None
    with pytest.raises(AzureError) as caught:
        vaults.create(vault.resource_id, NAME, "eastus2")
    assert (caught.value.status, caught.value.code) == (409, "ConflictError")
    assert vaults.recover(NAME).get_version("username").value == "dexter"
    vaults.delete(NAME)
    vaults.purge(NAME)
    assert vaults.create(vault.resource_id, NAME, "eastus2").list_newest() == []


def test_purge_protection_keeps_a_deleted_vault(vaults: VaultStore) -> None:
    vaults.create("/subscriptions/x", NAME, "eastus2", purge_protection=True)
    vaults.delete(NAME)
    with pytest.raises(AzureError) as caught:
        vaults.purge(NAME)
    assert (caught.value.status, caught.value.code) == (400, "MethodNotAllowed")
    assert vaults.find_deleted(NAME)


@pytest.mark.parametrize("attempt", ["delete", "recover", "purge"])
def test_a_vault_that_is_not_there_is_not_found(vaults: VaultStore, attempt: str) -> None:
    with pytest.raises(AzureError) as caught:
        getattr(vaults, attempt)(NAME)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("days", "protected", "level"),
    [
        (90, False, "Recoverable+Purgeable"),
        (7, False, "CustomizedRecoverable+Purgeable"),
        (90, True, "Recoverable"),
        (30, True, "CustomizedRecoverable"),
    ],
)
def test_the_recovery_level_follows_from_the_vaults_settings(
    vaults: VaultStore, days: int, protected: bool, level: str
) -> None:
    vault = vaults.create("/subscriptions/x", NAME, "eastus2", retention_days=days, purge_protection=protected)
    assert vault.recovery_level == level


def test_a_version_shows_no_value_in_its_text(vault: Vault) -> None:
    assert "Admin123" not in repr(vault.set_secret("password", "Admin123"))
    assert "Admin123" not in repr(vault)


def test_names_of_secrets_are_compared_without_case_and_kept_as_first_written(vault: Vault) -> None:
    vault.set_secret("Username", "dexter")
    assert vault.set_secret("USERNAME", "therema").name == "Username"
    assert vault.get_version("username").value == "therema"


@pytest.mark.parametrize(
    "given",
    [
        {"tags": {str(number): "" for number in range(16)}},
        {"tags": {"a": "x" * 257}},
        {"tags": {"x" * 257: ""}},
        {"content_type": "x" * 256},
    ],
    ids=["16 tags", "a long value", "a long name", "a long content type"],
)
def test_what_is_beyond_the_limits_of_key_vault_is_refused_and_writes_nothing(vault: Vault, given: Any) -> None:
    tags = {str(number): "" for number in range(15)}
    made = vault.set_secret("username", "dexter", tags=tags, content_type="x" * 255)
    for attempt in (
        lambda: vault.set_secret("username", "therema", **given),
        lambda: vault.update_version("username", made.version, {}, **given),
    ):
        with pytest.raises(AzureError) as caught:
            attempt()
        assert (caught.value.status, caught.value.code) == (400, "BadParameter")
    assert vault.list_versions("username") == [made]


def test_a_purge_takes_its_time_and_holds_the_name_until_it_is_over(vault: Vault, clock: Clock) -> None:
    vault.set_secret("username", "dexter")
    vault.settle = timedelta(seconds=5)
    vault.delete_secret("username")
    clock.moment += timedelta(seconds=5)
    vault.purge_secret("username")
    for attempt in (
        lambda: vault.set_secret("username", "therema"),
        lambda: vault.purge_secret("username"),
        lambda: vault.recover_secret("username"),
    ):
        with pytest.raises(AzureError) as caught:
            attempt()
        assert (caught.value.status, caught.value.inner) == (409, "ObjectIsBeingDeleted")
    assert vault.get_deleted("username").newest.value == "dexter"
    clock.moment += timedelta(seconds=5)
    assert vault.list_deleted() == []
    assert vault.set_secret("username", "therema").value == "therema"


@pytest.mark.parametrize("purged", [True, False])
def test_a_clock_that_is_set_back_holds_no_name_of_a_deleted_secret(clock: Clock, purged: bool) -> None:
    vault = VaultStore(clock, steady=Clock()).create(f"/subscriptions/x/{NAME}", NAME, "eastus2")
    vault.set_secret("username", "dexter")
    vault.delete_secret("username")
    if purged:
        vault.purge_secret("username")
    clock.moment -= timedelta(minutes=1)
    if not purged:
        vault.purge_secret("username")
    assert vault.list_deleted() == []
    assert vault.set_secret("username", "therema").value == "therema"


def test_an_update_moves_updated_and_leaves_created(vault: Vault, clock: Clock) -> None:
    made = vault.set_secret("username", "dexter")
    clock.moment += timedelta(seconds=5)
    changed = vault.update_version("username", made.version, {"enabled": False})
    assert (changed.created, changed.updated) == (made.created, made.created + 5)


def test_limits_are_those_of_a_sliding_window_for_each_vault(clock: Clock) -> None:
    limits = Limits(clock, reads=2, writes=1)
    limits.count("one", "GET")
    clock.moment += timedelta(seconds=4)
    limits.count("one", "GET")
    limits.count("one", "PUT")
    limits.count("two", "PUT")
    with pytest.raises(AzureError) as caught:
        limits.count("one", "GET")
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "6"})
    clock.moment += timedelta(seconds=6)
    limits.count("one", "GET")
    with pytest.raises(AzureError) as caught:
        limits.count("one", "DELETE")
    assert caught.value.headers == {"Retry-After": "4"}
