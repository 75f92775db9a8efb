"""Key Vault's data plane through the real client: versions, attributes, soft delete, paging and limits."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient
from azure_world import VAULT, VAULT_ID, AzureWorld

from lab.control.faults import Fault

URL = f"https://{VAULT}.vault.azure.net"


@pytest.fixture
def secrets(azure: AzureWorld) -> SecretClient:
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    return azure.secrets()


def error_of(caught: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str, str]:
    """Status, code and the code of the inner error."""
    error = caught.value.error
    inner = (error.innererror or {}) if error else {}
    return caught.value.status_code, error.code if error else "", inner.get("code", "")


def test_a_new_version_is_the_newest_at_once(secrets: SecretClient) -> None:
    first = secrets.set_secret("username", "dexter", tags={"rotation": "one"}, content_type="text/plain")
    second = secrets.set_secret("username", "therema")
    assert secrets.get_secret("username").value == "therema"
    assert secrets.get_secret("username").properties.version == second.properties.version
    old = secrets.get_secret("username", first.properties.version)
    assert (old.value, old.properties.tags, old.properties.content_type) == (
        "dexter",
        {"rotation": "one"},
        "text/plain",
    )


def test_versions_are_not_listed_in_the_order_of_time(secrets: SecretClient) -> None:
    written = [secrets.set_secret("username", str(number)).properties.version for number in range(10)]
    listed = [item.version for item in secrets.list_properties_of_secret_versions("username")]
    assert listed == sorted(written)
    assert listed != written


def test_a_disabled_newest_version_hides_the_older_ones(secrets: SecretClient) -> None:
    first = secrets.set_secret("username", "dexter").properties.version or ""
    newest = secrets.set_secret("username", "therema").properties.version or ""
    secrets.update_secret_properties("username", newest, enabled=False)
    with pytest.raises(HttpResponseError, match="Operation get is not allowed on a disabled secret") as caught:
        secrets.get_secret("username")
    assert error_of(caught) == (403, "Forbidden", "SecretDisabled")
    assert secrets.get_secret("username", first).value == "dexter"


def test_an_update_changes_what_it_names_and_no_more(secrets: SecretClient) -> None:
    expires = datetime(2031, 1, 1, tzinfo=UTC)
    made = secrets.set_secret("username", "dexter", tags={"a": "1"}, expires_on=expires)
    changed = secrets.update_secret_properties("username", made.properties.version, enabled=False)
    assert (changed.enabled, changed.tags, changed.expires_on) == (False, {"a": "1"}, expires)
    again = secrets.update_secret_properties("username", made.properties.version, tags={"b": "2"})
    assert (again.enabled, again.tags) == (False, {"b": "2"})


def test_an_update_without_a_version_means_the_newest(secrets: SecretClient) -> None:
    secrets.set_secret("username", "dexter")
    newest = secrets.set_secret("username", "therema").properties.version
    assert secrets.update_secret_properties("username", tags={"a": "1"}).version == newest


def test_times_that_exclude_the_present_do_not_stop_a_read(secrets: SecretClient) -> None:
    secrets.set_secret("past", "1", expires_on=datetime(2020, 1, 1, tzinfo=UTC))
    secrets.set_secret("future", "2", not_before=datetime(2099, 1, 1, tzinfo=UTC))
    assert secrets.get_secret("past").value == "1"
    assert secrets.get_secret("future").properties.not_before == datetime(2099, 1, 1, tzinfo=UTC)


def test_properties_tell_what_soft_delete_promises(secrets: SecretClient) -> None:
    found = secrets.set_secret("username", "dexter").properties
    assert (found.recovery_level, found.recoverable_days) == ("CustomizedRecoverable+Purgeable", 7)


def test_a_missing_secret_or_version_is_not_found(secrets: SecretClient) -> None:
    with pytest.raises(ResourceNotFoundError, match=r"A secret with \(name/id\) nope was not found") as caught:
        secrets.get_secret("nope")
    assert error_of(caught)[:2] == (404, "SecretNotFound")
    secrets.set_secret("username", "dexter")
    with pytest.raises(ResourceNotFoundError, match="username/0123"):
        secrets.get_secret("username", "0123")


@pytest.mark.parametrize("name", ["under_score", "a" * 128])
def test_a_name_that_azure_refuses_is_refused(secrets: SecretClient, name: str) -> None:
    with pytest.raises(HttpResponseError) as caught:
        secrets.set_secret(name, "value")
    assert error_of(caught)[:2] == (400, "BadParameter")


def test_a_value_that_is_too_long_is_refused_without_repeating_it(secrets: SecretClient) -> None:
    with pytest.raises(HttpResponseError) as caught:
        secrets.set_secret("username", "x" * 25_601)
    assert error_of(caught)[:2] == (400, "BadParameter")
    assert "xxx" not in str(caught.value)


def test_names_are_listed_with_the_properties_of_the_newest_version(secrets: SecretClient) -> None:
    secrets.set_secret("username", "dexter", tags={"n": "1"})
    secrets.set_secret("username", "therema", tags={"n": "2"})
    secrets.set_secret("password", "Admin123")
    assert [(item.name, item.tags, item.version) for item in secrets.list_properties_of_secrets()] == [
        ("password", {}, None),
        ("username", {"n": "2"}, None),
    ]


def test_long_lists_come_in_pages(secrets: SecretClient) -> None:
    written = {secrets.set_secret("username", str(number)).properties.version for number in range(30)}
    pages = [list(page) for page in secrets.list_properties_of_secret_versions("username").by_page()]
    assert [len(page) for page in pages] == [25, 5]
    assert {item.version for page in pages for item in page} == written
    small = secrets.list_properties_of_secret_versions("username", max_page_size=4).by_page()
    assert [len(list(page)) for page in small] == [4] * 7 + [2]


def test_a_page_of_more_than_25_is_refused(secrets: SecretClient) -> None:
    with pytest.raises(HttpResponseError, match="maxresults"):
        list(secrets.list_properties_of_secrets(max_page_size=26))


def test_a_deleted_secret_keeps_its_name_until_it_is_purged(secrets: SecretClient) -> None:
    secrets.set_secret("username", "dexter")
    secrets.begin_delete_secret("username").wait()
    with pytest.raises(ResourceNotFoundError):
        secrets.get_secret("username")
    with pytest.raises(ResourceExistsError, match="currently in a deleted but recoverable state") as caught:
        secrets.set_secret("username", "therema")
    assert error_of(caught) == (409, "Conflict", "ObjectIsDeletedButRecoverable")
    assert [item.name for item in secrets.list_deleted_secrets()] == ["username"]
    secrets.purge_deleted_secret("username")
    assert secrets.set_secret("username", "therema").value == "therema"


def test_a_recovered_secret_has_all_of_its_versions(secrets: SecretClient) -> None:
    first = secrets.set_secret("username", "dexter").properties.version or ""
    secrets.set_secret("username", "therema")
    secrets.begin_delete_secret("username").wait()
    secrets.begin_recover_deleted_secret("username").wait()
    assert secrets.get_secret("username").value == "therema"
    assert secrets.get_secret("username", first).value == "dexter"
    assert list(secrets.list_deleted_secrets()) == []


def test_deleting_takes_its_time(make_azure: Callable[..., AzureWorld]) -> None:
    azure = make_azure(operation_seconds=30.0)
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    secrets = azure.secrets()
    secrets.set_secret("username", "dexter")
    secrets.begin_delete_secret("username").result()
    with pytest.raises(ResourceNotFoundError):
        secrets.get_deleted_secret("username")
    with pytest.raises(ResourceExistsError) as caught:
        secrets.set_secret("username", "therema")
    assert error_of(caught) == (409, "Conflict", "ObjectIsBeingDeleted")
    azure.clock.advance(30)
    assert secrets.get_deleted_secret("username").scheduled_purge_date


def test_purge_protection_refuses_a_purge(azure: AzureWorld) -> None:
    azure.cloud.vaults.create(f"{VAULT_ID}2", f"{VAULT}2", "eastus2", purge_protection=True)
    azure.let_operator("Key Vault Secrets Officer", f"{VAULT_ID}2")
    secrets = azure.secrets(vault=f"{VAULT}2")
    assert secrets.set_secret("username", "dexter").properties.recovery_level == "Recoverable"
    secrets.begin_delete_secret("username").wait()
    with pytest.raises(HttpResponseError, match='Operation "purge" is not enabled') as caught:
        secrets.purge_deleted_secret("username")
    assert caught.value.status_code == 403


@pytest.mark.parametrize("version", ["2016-10-01", "7.0", "7.6", "2025-07-01"])
def test_any_version_of_the_api_is_served(azure: AzureWorld, secrets: SecretClient, version: str) -> None:
    secrets.set_secret("username", "dexter")
    headers = {"Authorization": f"Bearer {azure.token()}"}
    for path in ("username", "username/"):
        answer = azure.request("GET", f"{URL}/secrets/{path}", params={"api-version": version}, headers=headers)
        assert (answer.status_code, answer.json()["value"]) == (200, "dexter")


def test_the_walkthroughs_answer_has_its_fields_in_its_order(azure: AzureWorld, secrets: SecretClient) -> None:
    made = secrets.set_secret("username", "dexter")
    headers = {"Authorization": f"Bearer {azure.token()}"}
    answer = azure.request("GET", f"{URL}/secrets/username?api-version=2016-10-01", headers=headers)
    created = int(made.properties.created_on.timestamp()) if made.properties.created_on else 0
    assert answer.text == (
        f'{{"value":"dexter","contentType":"","id":"{URL}/secrets/username/{made.properties.version}",'
        f'"attributes":{{"enabled":true,"created":{created},"updated":{created},'
        '"recoveryLevel":"CustomizedRecoverable+Purgeable"},"tags":{}}'
    )


def test_too_many_writes_are_throttled_with_a_time_to_wait(azure: AzureWorld, secrets: SecretClient) -> None:
    secrets.set_secret("username", "dexter")
    for _ in range(299):
        azure.cloud.limits.count(VAULT, "PUT")
    with pytest.raises(HttpResponseError, match="VaultRequestTypeLimitReached") as caught:
        azure.secrets(retry_total=0).set_secret("username", "therema")
    assert error_of(caught)[:2] == (429, "Throttled")
    assert caught.value.response
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 10
    assert secrets.get_secret("username").value == "dexter"
    azure.clock.advance(10)
    assert secrets.set_secret("username", "therema").value == "therema"


def test_the_sdk_waits_when_it_is_throttled(azure: AzureWorld, secrets: SecretClient) -> None:
    azure.faults.add(Fault(host="*.vault.azure.net", status=429, headers={"Retry-After": "0"}, times=1))
    assert secrets.set_secret("username", "dexter").value == "dexter"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"value": 1}', b'{"value": "x", "tags": "a"}', b'{"value": "x", "attributes": [1]}'],
    ids=["empty", "a list", "broken", "value is a number", "tags are text", "attributes are a list"],
)
def test_a_body_that_is_no_secret_is_refused(azure: AzureWorld, secrets: SecretClient, body: Any) -> None:
    headers = {"Authorization": f"Bearer {azure.token()}", "Content-Type": "application/json"}
    answer = azure.request("PUT", f"{URL}/secrets/username?api-version=7.6", headers=headers, data=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadParameter")
