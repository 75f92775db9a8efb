"""The inventory and the stack as files give them: what cannot be used is named with its file, line or field."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.credentials import Credential, Strategy, WorkloadRef, load_inventory
from infra.errors import InvalidInput, KeyturnError, NotFound
from infra.provisioning.options import StackNames, load_stack
from testing.walkthrough import DEXTER, INVENTORY, ROOT, SERVER, change

STACK = load_stack("walkthrough", ROOT / "manifests", INVENTORY)
NAMES = STACK.model_dump(include=set(StackNames.model_fields))


def stack_with(**fields: object) -> dict[str, Any]:
    """Return the shipped stack's names with changes."""
    return {**NAMES, **fields}


def entry(credential: Credential = DEXTER, **fields: Any) -> dict[str, Any]:
    """Return a credential as an inventory has it, with changes."""
    return {**credential.model_dump(mode="json", exclude={"name"}), **fields}


def write_inventory(folder: Path, content: object) -> Path:
    """Write an inventory of these credentials, or of this text."""
    path = folder / "credentials.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump({"credentials": content}))
    return path


def inventory_error(path: Path) -> KeyturnError:
    with pytest.raises(KeyturnError) as caught:
        load_inventory(path)
    return caught.value


def test_an_inventory_gives_its_credentials_by_name(tmp_path: Path) -> None:
    written = {"orders-db": entry(), "orders-server": entry(SERVER)}
    inventory = load_inventory(write_inventory(tmp_path, written))
    assert set(inventory.credentials) == set(written)
    assert inventory.get("orders-db") == change(DEXTER, name="orders-db")
    assert inventory.get("orders-server") == change(SERVER, name="orders-server")


def test_an_inventory_that_does_not_exist_is_named_with_its_setting(tmp_path: Path) -> None:
    error = inventory_error(tmp_path / "nosuch.yaml")
    assert type(error) is NotFound
    assert error.name == str(tmp_path / "nosuch.yaml")
    assert error.seen == "No such file or directory"
    assert "KEYTURN_CREDENTIALS" in error.fix


def test_an_inventory_with_a_credential_listed_twice_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "credentials.yaml"
    path.write_text("credentials:\n  orders: {}\n  orders: {}\n")
    with pytest.raises(InvalidInput) as caught:
        load_inventory(path)
    assert caught.value.name == f"{path}, line 3"
    assert "'orders' stands twice" in caught.value.seen


def test_an_inventory_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "credentials.yaml"
    path.write_bytes(b"credentials:\n  \xff\xfe: x\n")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        load_inventory(path)


def test_an_inventory_that_is_not_yaml_is_named_with_the_line(tmp_path: Path) -> None:
    path = write_inventory(tmp_path, "credentials:\n  orders-db:\n    vault: [unclosed\n    lock_namespace: x\n")
    error = inventory_error(path)
    assert type(error) is InvalidInput
    assert error.name == f"{path}, line 4"
    assert error.seen


@pytest.mark.parametrize("text", ["", "credentials:", "credentials: []", "other: {}", "- a", "text"])
def test_an_inventory_without_the_mapping_of_credentials_is_refused(tmp_path: Path, text: str) -> None:
    error = inventory_error(write_inventory(tmp_path, text))
    assert type(error) is InvalidInput
    assert error.seen == "it has no mapping `credentials`"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (entry(vaults="x"), "vaults: Extra inputs are not permitted"),
        (entry(secrets={"username": "user_name!", "password": "password"}), "secrets.username: String should match"),
        (entry(consumers=[entry()["consumers"][0] | {"workload": {"name": "x"}}]), "consumers.0.workload.namespace: "),
        (entry(endpoint={"kind": "load-balancer", "namespace": "x"}), "endpoint.load-balancer.service: Field required"),
        (entry(strategy="managed"), "the whole: Value error, the strategy managed is for a Flexible Server"),
        ({}, "vault: Field required; secrets: Field required; cluster: "),
        ("text", "vault: Field required; "),
        (None, "vault: Field required; "),
    ],
    ids=["unknown field", "secret name", "nested", "endpoint", "strategy", "empty", "text", "nothing"],
)
def test_a_credential_that_cannot_be_used_is_named_with_its_field(tmp_path: Path, content: object, field: str) -> None:
    path = write_inventory(tmp_path, {"orders-db": content, "orders-server": entry(SERVER)})
    error = inventory_error(path)
    assert type(error) is InvalidInput
    assert error.name == f"orders-db in {path}"
    assert field in error.seen
    assert "user_name!" not in str(error), "a value at the wrong place may be a secret"


@pytest.mark.parametrize("name", ["web", "web.v2", "0-1.a.b"])
def test_a_workload_is_called_what_kubernetes_lets_it_be_called(name: str) -> None:
    assert str(WorkloadRef(namespace="web", name=name)) == f"deployment web/{name}"


@pytest.mark.parametrize("name", ["", ".web", "web.", "web..v2", "web.-v2", "web-.v2", "Web", "a" * 254])
def test_a_workload_is_not_called_what_kubernetes_refuses(tmp_path: Path, name: str) -> None:
    consumer = entry()["consumers"][0]
    workload = consumer["workload"] | {"name": name}
    error = inventory_error(
        write_inventory(tmp_path, {"orders-db": entry(consumers=[consumer | {"workload": workload}])})
    )
    assert type(error) is InvalidInput
    assert error.seen.startswith("consumers.0.workload.name: String should ")


def test_a_credential_whose_own_name_cannot_be_used_is_refused(tmp_path: Path) -> None:
    error = inventory_error(write_inventory(tmp_path, {"Orders DB": entry()}))
    assert type(error) is InvalidInput
    assert error.seen.startswith("name: ")


@pytest.mark.parametrize(("written", "known"), [({"b": entry(), "a": entry()}, "a, b"), ({}, "none")])
def test_an_unknown_credential_is_answered_with_the_known_ones(
    tmp_path: Path, written: dict[str, object], known: str
) -> None:
    path = write_inventory(tmp_path, written)
    with pytest.raises(NotFound) as caught:
        load_inventory(path).get("nosuch")
    assert (caught.value.name, caught.value.seen) == ("nosuch", f"{path} has {known}")


def stack_error(folder: Path, content: object, credentials: dict[str, object] | None = None) -> KeyturnError:
    """Write a stack, or a text in its place, and an inventory; return why the stack cannot be loaded."""
    path = folder / "walkthrough" / "stack.yaml"
    path.parent.mkdir()
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    shipped = {"dexter": entry(), "dexter-server": entry(SERVER)}
    inventory = load_inventory(write_inventory(folder, shipped | (credentials or {})))
    with pytest.raises(KeyturnError) as caught:
        load_stack("walkthrough", folder, inventory)
    return caught.value


def test_the_shipped_stack_takes_its_names_from_its_two_credentials() -> None:
    assert STACK.folder == ROOT / "manifests/walkthrough"
    assert (STACK.vault, STACK.namespace, STACK.server) == ("dexterkeyvault", "dexter", "sonarqube-postgresql3")
    assert (STACK.cluster, STACK.resource_group) == ("integrateakskv-cluster", "integrateakskv-rg")
    assert (STACK.database, STACK.administrator) == (DEXTER, SERVER)


def test_a_stack_that_does_not_exist_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load_stack("nosuch", tmp_path, INVENTORY)
    assert caught.value.name == str(tmp_path / "nosuch/stack.yaml")
    assert "KEYTURN_STACKS" in caught.value.fix


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (stack_with(blob=""), "blob: "),
        (stack_with(nosuch="x"), "nosuch: Extra inputs are not permitted"),
        ("credential: dexter", "server_credential: Field required"),
        ("", "the whole: "),
        ("- a", "the whole: "),
    ],
    ids=["a field", "unknown field", "missing", "empty", "a list"],
)
def test_a_stack_that_cannot_be_used_is_named_with_its_field(tmp_path: Path, content: object, seen: str) -> None:
    error = stack_error(tmp_path, content)
    assert type(error) is InvalidInput
    assert error.name == str(tmp_path / "walkthrough/stack.yaml")
    assert seen in error.seen


def test_a_stack_that_is_not_yaml_is_named_with_the_line(tmp_path: Path) -> None:
    error = stack_error(tmp_path, "credential: dexter\nserver_credential: [\n")
    assert type(error) is InvalidInput
    assert error.name == f"{tmp_path / 'walkthrough/stack.yaml'}, line 3"


def test_a_credential_of_a_stack_that_the_inventory_does_not_have_is_named(tmp_path: Path) -> None:
    error = stack_error(tmp_path, stack_with(server_credential="nosuch"))
    assert type(error) is NotFound
    assert error.name == "nosuch"
    assert "dexter, dexter-server" in error.seen


@pytest.mark.parametrize(
    ("credentials", "seen"),
    [
        ({"dexter": entry(SERVER)}, "dexter is not a database in the cluster behind a load balancer"),
        ({"dexter": entry(consumers=[])}, "dexter is not a database in the cluster behind a load balancer"),
        ({"dexter-server": entry()}, "dexter-server is not the administrator of a Flexible Server"),
        ({"dexter-server": entry(SERVER, vault="another")}, "are in different vaults"),
        ({"dexter-server": entry(SERVER, secrets={"username": "username", "password": "p"})}, "share a secret"),
        ({"dexter-server": entry(SERVER, secrets={"username": "u", "password": "PASSWORD"})}, "share a secret"),
        ({"dexter": entry(secrets={"username": "Server-Username", "password": "p"})}, "share a secret"),
        ({"dexter": entry(secrets={"username": "server-password", "password": "p"})}, "share a secret"),
    ],
)
def test_credentials_that_do_not_belong_to_one_stack_are_refused(
    tmp_path: Path, credentials: dict[str, object], seen: str
) -> None:
    error = stack_error(tmp_path, NAMES, credentials)
    assert type(error) is InvalidInput
    assert seen in error.seen


@pytest.mark.parametrize(
    ("grace", "period"),
    [("now", timedelta()), ("90m", timedelta(minutes=90)), ("24h", timedelta(days=1)), ("next-rotation", None)],
)
def test_a_grace_is_a_time_or_lasts_until_the_next_rotation(grace: str, period: timedelta | None) -> None:
    assert change(DEXTER, strategy=Strategy.ALTERNATING, grace=grace).grace_period == period


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strategy": "alternating", "grace": "soon"}, "grace"),
        ({"strategy": "alternating", "grace": "0h"}, "grace"),
        ({"strategy": "in-place", "grace": "24h"}, "grace needs the strategy alternating"),
    ],
)
def test_a_grace_that_cannot_be_kept_is_refused_with_its_field(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    error = inventory_error(write_inventory(tmp_path, {"orders-db": entry(**fields)}))
    assert type(error) is InvalidInput
    assert message in str(error)


def test_a_credential_says_when_it_is_due() -> None:
    by_age, by_expiry = change(DEXTER, every="60d"), change(DEXTER, before_expiry="36h", expires_after_days=2)
    assert (by_age.interval, by_age.lead_time) == (timedelta(days=60), None)
    assert (by_expiry.interval, by_expiry.lead_time) == (None, timedelta(hours=36))
    assert (DEXTER.interval, DEXTER.lead_time, DEXTER.window, DEXTER.paused, DEXTER.ring) == (
        None,
        None,
        None,
        False,
        1,
    )


def test_a_window_that_passes_midnight_opens_on_its_days_by_the_clocks_of_its_zone() -> None:
    window = {"start": "22:00", "end": "04:00", "days": ["Friday"], "time_zone": "Europe/Berlin"}
    found = change(DEXTER, window=window).window
    assert found is not None
    saturday_night = datetime(2026, 1, 10, 2, 59, tzinfo=UTC)
    assert found.is_open(saturday_night)
    assert not found.is_open(saturday_night + timedelta(minutes=1))
    assert found.find_opening(saturday_night + timedelta(minutes=1)) == datetime(2026, 1, 16, 21, 0, tzinfo=UTC)
