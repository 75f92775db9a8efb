"""The inventory and the stack as files give them: what cannot be used is named with its file, line or field."""

import json
import textwrap
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
DELIVERY = DEXTER.consumers[0].delivery.model_dump(mode="json")
NEEDED = {name for name, field in Credential.model_fields.items() if field.is_required()}
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


def credential_error(path: Path, name: str = "orders-db") -> KeyturnError:
    inventory = load_inventory(path)
    with pytest.raises(KeyturnError) as caught:
        inventory.get(name)
    return caught.value


def test_an_inventory_gives_its_credentials_by_name(tmp_path: Path) -> None:
    written = {"orders-db": entry(), "orders-server": entry(SERVER)}
    inventory = load_inventory(write_inventory(tmp_path, written))
    assert set(inventory.credentials) == set(written)
    assert inventory.get("orders-db") == change(DEXTER, name="orders-db")
    assert inventory.get("orders-server") == change(SERVER, name="orders-server")


def test_a_file_that_did_not_change_is_parsed_once_and_a_changed_one_anew(tmp_path: Path) -> None:
    first, same = (load_inventory(write_inventory(tmp_path, {"orders-db": entry()})) for _ in range(2))
    assert same.entries["orders-db"][0].node is first.entries["orders-db"][0].node
    changed = load_inventory(write_inventory(tmp_path, {"orders-db": entry(ring=7)}))
    assert (changed.get("orders-db").ring, first.get("orders-db").ring) == (7, 1)


def test_a_credential_that_takes_over_the_fields_of_another_is_read_as_often_as_wanted(tmp_path: Path) -> None:
    written = yaml.safe_dump({"orders-db": entry()}).replace("orders-db:", "orders-db: &orders", 1)
    text = f"credentials:\n{textwrap.indent(written, '  ')}  billing-db:\n    <<: *orders\n    vault: billing-kv\n"
    inventory = load_inventory(write_inventory(tmp_path, text))
    assert inventory.credentials["billing-db"] == change(DEXTER, name="billing-db", vault="billing-kv")
    assert inventory.errors == {}
    assert inventory.get("billing-db").vault == "billing-kv"


def test_an_inventory_that_does_not_exist_is_named_with_its_setting(tmp_path: Path) -> None:
    error = inventory_error(tmp_path / "nosuch.yaml")
    assert type(error) is NotFound
    assert error.name == str(tmp_path / "nosuch.yaml")
    assert error.seen == "No such file or directory"
    assert "KEYTURN_CREDENTIALS" in error.fix


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
    ("content", "problem"),
    [
        ({"vaults": "x"}, "vaults: there is no such field. Fix: write vault."),
        ({"strategy": "in_place"}, "strategy: 'in_place' is none of its values. Fix: write one of "),
        ({"secrets": {"kind": "pair", "username": "user_name!", "password": "p"}}, "secrets.username: a text of 10 "),
        ({"consumers": [{"workload": {"name": "x"}, "delivery": DELIVERY}]}, "consumers[0].workload.namespace: it "),
        ({"endpoint": {"kind": "load-balancer", "namespace": "x"}}, "endpoint.service: it is missing. Fix: add "),
        ({"endpoint": {"namespace": "x", "service": "y"}}, "endpoint.kind: it is missing. Fix: add kind: one of "),
        ({"endpoint": {"kind": "loadbalancer"}}, "endpoint.kind: 'loadbalancer' is none of its values. "),
        (
            {"ring": "canary"},
            "ring: 'canary', but it must be a valid integer. Fix: write a whole number ",
        ),
        ({"every": "60 days"}, "every: '60 days' does not fit. Fix: write a duration such as 60d, 24h or 90m."),
        ({"ring": 100}, "ring: 100, but it must be less than or equal to 99. Fix: write a whole number from 0 up to "),
        ({"vault": "user:hunter2@kv"}, "vault: a text of 15 characters does not fit. Fix: write "),
        (
            {"owner": ["a", "b"]},
            "owner: a list, but it must be a valid string. Fix: write a text of at most ",
        ),
        ({"strategy": "managed"}, "the strategy managed is for a Flexible Server. Fix: give an endpoint of kind "),
        ({"name": "x"}, "name: there is no such field. Fix: the key is the name."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_mistake_is_named_with_file_line_and_field_and_says_what_to_write(
    tmp_path: Path, content: dict[str, Any], problem: str
) -> None:
    fields = {key: value for key, value in entry(**content).items() if key in {*NEEDED, *content}}
    lines = ["credentials:", "  orders-db:", *(f"    {key}: {json.dumps(value)}" for key, value in fields.items())]
    path = write_inventory(tmp_path, "\n".join(lines))
    field = "  orders-db" if problem.startswith("the strategy") else f"    {next(iter(content))}"
    expected = 1 + next(index for index, line in enumerate(lines) if line.startswith(f"{field}:"))
    [found] = load_inventory(path).list_problems()
    assert (found.path, found.line, found.credential) == (path, expected, "orders-db")
    assert found.what.startswith(problem)
    assert str(found).startswith(f"{path}:{expected}: orders-db: {problem}")
    assert "user_name!" not in str(found), "a value at the wrong place may be a secret"
    error = credential_error(path)
    assert type(error) is InvalidInput
    assert error.name == f"orders-db in {path}"
    assert f"line {expected}, " in error.seen
    assert "python -m flows.check orders-db" in error.fix


@pytest.mark.parametrize("content", [{}, "text", None, []], ids=["empty", "text", "nothing", "list"])
def test_a_credential_without_fields_is_refused(tmp_path: Path, content: object) -> None:
    error = credential_error(write_inventory(tmp_path, {"orders-db": content}))
    assert type(error) is InvalidInput
    assert "it has no fields" in error.seen or "vault: it is missing" in error.seen


def test_a_mistake_in_one_credential_keeps_no_other_from_being_used(tmp_path: Path) -> None:
    path = write_inventory(tmp_path, {"billing-db": entry(vaults="x"), "orders-db": entry(), "c": None})
    inventory = load_inventory(path)
    assert inventory.get("orders-db") == change(DEXTER, name="orders-db")
    assert list(inventory.credentials) == ["orders-db"]
    assert [problem.credential for problem in inventory.list_problems()] == ["billing-db", "c"]


@pytest.mark.parametrize("repeated", ["vault: v", "secrets: {kind: pair, kind: pair}"])
def test_a_field_that_stands_twice_is_a_mistake_of_its_credential_alone(tmp_path: Path, repeated: str) -> None:
    path = write_inventory(tmp_path, yaml.safe_dump({"credentials": {"billing-db": entry(), "orders-db": entry()}}))
    path.write_text(path.read_text().replace("  orders-db:\n", f"  orders-db:\n    {repeated}\n"))
    inventory = load_inventory(path)
    assert inventory.get("billing-db")
    assert "it stands twice (keep one)" in credential_error(path).seen


def test_a_name_that_stands_twice_in_one_file_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = write_inventory(tmp_path, "credentials:\n  orders-db: {}\n  orders-db: {}\n")
    error = credential_error(path)
    assert type(error) is InvalidInput
    assert f"it stands in {path}, line 2 and in {path}, line 3" in error.seen


def test_defaults_count_where_a_credential_says_nothing_itself(tmp_path: Path) -> None:
    shared = {key: value for key, value in entry().items() if key not in ("secrets", "strategy", "ring")}
    content = {
        "defaults": shared | {"every": "60d"},
        "credentials": {
            "orders-db": {"secrets": entry()["secrets"], "strategy": "in-place", "ring": 0},
            "orders-two": {
                "secrets": {"kind": "pair", "username": "u", "password": "p"},
                "strategy": "alternating",
                "vault": "other",
                "before_expiry": "14d",
            },
        },
    }
    inventory = load_inventory(write_inventory(tmp_path, yaml.safe_dump(content)))
    assert inventory.list_problems() == ()
    one, two = inventory.get("orders-db"), inventory.get("orders-two")
    assert (one.vault, one.every, one.ring, one.consumers) == (DEXTER.vault, "60d", 0, DEXTER.consumers)
    assert (two.vault, two.every, two.before_expiry) == ("other", None, "14d")


def test_a_mistake_in_the_defaults_is_told_once_with_its_line_and_refuses_whoever_takes_it(tmp_path: Path) -> None:
    content = {"credentials": {"a": entry(ring=0), "b": entry(SERVER), "c": entry(SERVER)}}
    for name in ("b", "c"):
        del content["credentials"][name]["ring"]
    path = write_inventory(tmp_path, f"defaults:\n  ring: canary\n{yaml.safe_dump(content)}")
    inventory = load_inventory(path)
    assert inventory.get("a")
    [problem] = inventory.list_problems()
    assert (problem.line, problem.field) == (2, "ring")
    for name in ("b", "c"):
        assert type(credential_error(path, name)) is InvalidInput


@pytest.mark.parametrize("text", ["default: {}\n", "defaults: []\n", "defaults:\n", "credentials: {}\n"])
def test_an_inventory_with_another_key_is_refused_because_its_defaults_may_be_lost(tmp_path: Path, text: str) -> None:
    path = write_inventory(tmp_path, text + yaml.safe_dump({"credentials": {"orders-db": entry()}}))
    error = inventory_error(path)
    assert type(error) is InvalidInput
    assert error.name == f"{path}, line 1" or error.name == f"{path}, line 2"


def write_folder(folder: Path, files: dict[str, str | dict[str, object]]) -> Path:
    for name, content in files.items():
        written = content if isinstance(content, str) else yaml.safe_dump({"credentials": content})
        (folder / name).write_text(written)
    return folder


def test_a_folder_of_inventories_is_one_inventory(tmp_path: Path) -> None:
    files: dict[str, str | dict[str, object]] = {
        "orders.yaml": {"orders-db": entry()},
        "billing.yml": {"billing-db": entry(SERVER)},
        ".hidden.yaml": {"hidden": entry()},
        "notes.txt": "not YAML: [",
    }
    inventory = load_inventory(write_folder(tmp_path, files))
    assert set(inventory.credentials) == {"orders-db", "billing-db"}
    assert inventory.get("billing-db").strategy is Strategy.MANAGED
    assert inventory.list_problems() == ()


def test_the_same_name_in_two_files_is_refused_naming_both(tmp_path: Path) -> None:
    files: dict[str, str | dict[str, object]] = {
        "a.yaml": {"orders-db": entry(), "a": entry(SERVER)},
        "b.yaml": {"orders-db": entry()},
    }
    folder = write_folder(tmp_path, files)
    error = credential_error(folder)
    assert type(error) is InvalidInput
    assert f"it stands in {folder / 'a.yaml'}, line " in error.seen
    assert f" and in {folder / 'b.yaml'}, line 2" in error.seen
    assert load_inventory(folder).get("a")


def test_a_file_that_is_not_yaml_keeps_no_other_file_from_being_used(tmp_path: Path) -> None:
    files: dict[str, str | dict[str, object]] = {"a.yaml": {"orders-db": entry()}, "b.yaml": "credentials: ["}
    folder = write_folder(tmp_path, files)
    inventory = load_inventory(folder)
    assert inventory.get("orders-db")
    [unusable] = inventory.unusable
    assert unusable.name.startswith(f"{folder / 'b.yaml'}, line ")
    missing = credential_error(folder, "billing-db")
    assert type(missing) is NotFound
    assert str(missing.cause) == str(unusable), "it may be in there"


def test_a_folder_without_an_inventory_is_refused(tmp_path: Path) -> None:
    error = inventory_error(tmp_path)
    assert type(error) is NotFound
    assert "KEYTURN_CREDENTIALS" in error.fix


def test_two_credentials_that_rotate_one_secret_are_a_mistake(tmp_path: Path) -> None:
    other = entry(secrets={"kind": "pair", "username": "u", "password": DEXTER.secrets.names[-1].upper()})
    [problem] = load_inventory(write_inventory(tmp_path, {"a": entry(), "b": other})).list_problems()
    assert (problem.credential, problem.field) == ("b", "secrets")
    assert problem.seen == f"the secret {DEXTER.vault}/password is that of a, too"


@pytest.mark.parametrize(
    ("fields", "seen", "fix"),
    [
        (entry(consumers=[]), "none is the database, which recreate starts anew", "mark it with is_database: true"),
        (
            entry(SERVER, consumers=entry()["consumers"]),
            "deployment dexter/postgres-pod-kv is marked as the database, but a Flexible Server is no workload",
            "remove is_database",
        ),
    ],
    ids=["recreate", "managed"],
)
def test_what_every_plan_would_refuse_is_found_without_a_network(
    tmp_path: Path, fields: dict[str, Any], seen: str, fix: str
) -> None:
    [problem] = load_inventory(write_inventory(tmp_path, {"orders-db": fields})).list_problems()
    assert (problem.credential, problem.field, problem.seen) == ("orders-db", "consumers", seen)
    assert problem.fix.startswith(fix)


def test_a_time_of_day_needs_no_quotes(tmp_path: Path) -> None:
    path = write_inventory(tmp_path, {"orders-db": entry()})
    text = path.read_text().replace("  orders-db:\n", "  orders-db:\n    window: {start: 22:00, end: 04:00}\n")
    path.write_text(text.replace("    window: null\n", ""))
    window = load_inventory(path).get("orders-db").window
    assert window is not None
    assert (window.start, window.end) == ("22:00", "04:00")


@pytest.mark.parametrize("name", ["web", "web.v2", "0-1.a.b"])
def test_a_workload_is_called_what_kubernetes_lets_it_be_called(name: str) -> None:
    assert str(WorkloadRef(namespace="web", name=name)) == f"deployment web/{name}"


@pytest.mark.parametrize("name", ["", ".web", "web.", "web..v2", "web.-v2", "web-.v2", "Web", "a" * 254])
def test_a_workload_is_not_called_what_kubernetes_refuses(tmp_path: Path, name: str) -> None:
    consumer = entry()["consumers"][0]
    workload = consumer["workload"] | {"name": name}
    error = credential_error(
        write_inventory(tmp_path, {"orders-db": entry(consumers=[consumer | {"workload": workload}])})
    )
    assert type(error) is InvalidInput
    assert "consumers[0].workload.name: " in error.seen


def test_a_credential_whose_own_name_cannot_be_used_is_refused(tmp_path: Path) -> None:
    error = credential_error(write_inventory(tmp_path, {"Orders DB": entry()}), "Orders DB")
    assert type(error) is InvalidInput
    assert error.seen.startswith("line 2, name: ")


@pytest.mark.parametrize(("written", "known"), [({"b": entry(), "a": entry()}, "a, b"), ({}, "none")])
def test_an_unknown_credential_is_answered_with_the_known_ones(
    tmp_path: Path, written: dict[str, object], known: str
) -> None:
    path = write_inventory(tmp_path, written)
    with pytest.raises(NotFound) as caught:
        load_inventory(path).get("nosuch")
    assert (caught.value.name, caught.value.seen) == ("nosuch", f"{path} has {known}")


@pytest.mark.parametrize("name", ["", "dex", "DEXTER", " dexter", "dexter-", "dexter/"])
def test_a_wrong_name_never_means_another_credential(name: str) -> None:
    with pytest.raises(NotFound) as caught:
        INVENTORY.get(name)
    assert caught.value.name == name


def test_of_many_credentials_only_the_nearest_are_told(tmp_path: Path) -> None:
    path = write_inventory(tmp_path, {f"orders-{number:03}": {} for number in range(1000)})
    error = credential_error(path, "order-017")
    assert type(error) is NotFound
    assert error.seen.startswith(f"{path} has 1000, the nearest are orders-017, ")


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
        ({"strategy": "in-place", "grace": "24h"}, "grace needs two logins at a time, which only alternating has"),
    ],
)
def test_a_grace_that_cannot_be_kept_is_refused_with_its_field(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    error = credential_error(write_inventory(tmp_path, {"orders-db": entry(**fields)}))
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
