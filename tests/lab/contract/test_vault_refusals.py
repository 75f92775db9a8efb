"""What a vault's data plane refuses, and backups: one table, one lab."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from arm_world import World

from lab.azure.key_vault.vault import Vault
from lab.azure.roles import find_role_by_name

NAME = "refusingkv"
URL = f"https://{NAME}.vault.azure.net"
SECRET = f"{URL}/secrets/username?api-version=7.6"
BAD = (400, "BadParameter")


def put(**more: Any) -> dict[str, Any]:
    return {"value": "dexter", **more}


@pytest.fixture(scope="module")
def vault(shared: World) -> Vault:
    officer = find_role_by_name("Key Vault Secrets Officer")
    assert officer
    scope = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/" + NAME
    operator = shared.directory.operator.object_id
    shared.access.assign(scope, officer.guid, operator, "11111111-0000-4000-8000-000000000000")
    made: Vault = shared.call(lambda: shared.vaults.create(scope, NAME, "eastus2"))
    made.settle = timedelta(0)
    return made


@pytest.fixture
def empty(shared: World, vault: Vault) -> Iterator[Vault]:
    yield vault
    for name in [version.name for version in vault.list_newest()]:
        shared.call(lambda name=name: vault.delete_secret(name))
        shared.call(lambda name=name: vault.purge_secret(name))


@pytest.mark.parametrize(
    ("method", "url", "body", "refusal"),
    [
        ("PUT", SECRET, put(attributes={"enabled": "true"}), BAD),
        ("PUT", SECRET, put(attributes={"enabled": 1}), BAD),
        ("PUT", SECRET, put(attributes={"exp": "tomorrow"}), BAD),
        ("PUT", SECRET, put(attributes={"nbf": 1.5}), BAD),
        ("PUT", SECRET, put(attributes={"exp": True}), BAD),
        ("PUT", SECRET, put(contentType=7), BAD),
        ("PUT", SECRET, put(tags={"owner": 7}), BAD),
        ("PUT", SECRET, put(tags={str(number): "x" for number in range(16)}), BAD),
        ("PUT", SECRET, put(value="x" * 25_601), BAD),
        ("PUT", f"{URL}/secrets/under_score?api-version=7.6", put(), BAD),
        ("PUT", f"{URL}/secrets/username", put(), BAD),
        ("PUT", f"{URL}/secrets/username?api-version=9.9", put(), BAD),
        ("PUT", f"{URL}/secrets/username?api-version=2099-01-01", put(), BAD),
        ("GET", f"{URL}/secrets?api-version=7.6&maxresults=26", None, BAD),
        ("GET", f"{URL}/keys?api-version=7.6", None, (404, "ResourceNotFound")),
        ("GET", f"{URL}/certificates/name?api-version=7.6", None, (404, "ResourceNotFound")),
        ("GET", f"{URL}/?api-version=7.6", None, (404, "ResourceNotFound")),
        ("POST", SECRET, put(), (405, "MethodNotAllowed")),
        ("POST", f"{URL}/secrets/username/backup?api-version=7.6", None, (404, "SecretNotFound")),
        ("POST", f"{URL}/secrets/restore?api-version=7.6", {"value": "bm90IGEgYmFja3Vw"}, BAD),
        ("POST", f"{URL}/secrets/restore?api-version=7.6", {"value": 7}, BAD),
    ],
)
def test_what_a_vault_refuses_is_refused_as_json(
    shared: World, vault: Vault, method: str, url: str, body: Any, refusal: tuple[int, str]
) -> None:
    assert shared.refusal(method, url, body) == refusal
    assert vault.list_newest() == []


def test_a_backup_brings_all_versions_back_and_tells_no_value(shared: World, empty: Vault) -> None:
    for value in ("dexter", "therema"):
        assert shared.ask("PUT", SECRET, put(value=value, tags={"owner": "team"})).status_code == 200
    before = empty.versions_of("username")
    backup = shared.ask("POST", f"{URL}/secrets/username/backup?api-version=7.6").json()
    restore = f"{URL}/secrets/restore?api-version=7.6"
    assert shared.refusal("POST", restore, backup) == (409, "Conflict")
    shared.ask("DELETE", SECRET)
    assert shared.refusal("POST", restore, backup) == (409, "Conflict")
    shared.call(lambda: empty.purge_secret("username"))
    assert empty.list_newest() == []
    restored = shared.ask("POST", restore, backup)
    assert restored.status_code == 200
    assert "value" not in restored.json()
    assert empty.versions_of("username") == before
    assert "therema" not in backup["value"]


def test_the_newest_version_is_changed_without_its_name_and_secrets_are_listed_with_a_slash(
    shared: World, empty: Vault
) -> None:
    shared.ask("PUT", SECRET, put())
    changed = shared.ask("PATCH", SECRET, {"tags": {"owner": "team"}})
    listed = shared.ask("GET", f"{URL}/secrets/?api-version=7.6").json()["value"]
    assert changed.status_code == 200
    assert [item["tags"] for item in listed] == [{"owner": "team"}]


def test_reading_secrets_is_not_enough_to_back_them_up(shared: World, empty: Vault) -> None:
    user = find_role_by_name("Key Vault Secrets User")
    assert user
    somebody = shared.directory.add_application("somebody")[0]
    shared.access.assign(empty.resource_id, user.guid, somebody.object_id, "22222222-0000-4000-8000-000000000000")
    shared.ask("PUT", SECRET, put())
    assert shared.ask("GET", SECRET, principal=somebody).status_code == 200
    for url in (f"{URL}/secrets/username/backup?api-version=7.6", f"{URL}/secrets/restore?api-version=7.6"):
        assert shared.refusal("POST", url, {"value": "x"}, somebody) == (403, "Forbidden")
