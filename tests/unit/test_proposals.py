"""A proposed inventory: what can be seen is written, what a person must decide is said, and nothing is made up."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.credentials import ClusterRef, load_inventory
from infra.credentials.proposals import Bundle, Survey, User, propose, split_name

CLUSTER = ClusterRef(name="shop-aks", resource_group="shop-rg")
NAMES = ("orders-username", "orders-password")
SYNCED = {"orders-login": frozenset(NAMES)}
CLASS = Bundle("SecretProviderClass", "shop", "orders", "shopkv", (*NAMES, "api-key"), SYNCED)
BALANCER = {"kind": "load-balancer", "namespace": "shop", "service": "orders-db"}
SERVER = {"kind": "flexible-server", "server": "shop-sql", "resource_group": "shop-rg"}


def user(name: str, kind: str = "Deployment", namespace: str = "shop", **read: Any) -> User:
    return User(
        kind,
        namespace,
        name,
        frozenset(read.get("classes", ())),
        frozenset(read.get("secrets", ())),
        read.get("is_database", False),
    )


API = user("api", classes=["orders"], secrets=["orders-login"])


def proposed(*, bundles: tuple[Bundle, ...] = (CLASS,), users: tuple[User, ...] = (API,), endpoints: Any = None) -> str:
    found = (("shop", BALANCER),) if endpoints is None else tuple(endpoints)
    return propose(Survey(CLUSTER, bundles, users, found))


@pytest.mark.parametrize(
    ("secret", "part", "stem"),
    [
        ("orders-db-password", "password", "orders-db"),
        ("PgPassword", "password", "pg"),
        ("password", "password", ""),
        ("username-orders", "username", "orders"),
        ("orders-db-user-password", "password", "orders-db-user"),
        ("billing-connection-string", "connection string", "billing"),
        ("api-key", "", ""),
        ("passage", "", ""),
    ],
)
def test_a_secret_is_known_by_its_name(secret: str, part: str, stem: str) -> None:
    assert split_name(secret) == (part, stem)


def test_what_is_proposed_for_a_login_and_its_consumer_can_be_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "credentials.yaml"
    path.write_text(proposed())
    inventory = load_inventory(path)
    assert inventory.list_problems() == ()
    found = inventory.get("orders")
    assert (found.vault, found.secrets.names, found.lock_namespace) == ("shopkv", NAMES, "shop")
    assert found.cluster == CLUSTER
    assert [consumer.key for consumer in found.consumers] == ["deployment shop/api"]


def test_what_a_person_must_decide_is_said_in_the_place_where_it_is_decided() -> None:
    lines = proposed().splitlines()
    start = lines.index("  orders: # SecretProviderClass shop/orders")
    assert (
        lines[start + 1]
        == "    # DECIDE endpoint: is this where its database is reached? Without tls it is plain text."
    )
    assert lines[start + 2].startswith("    # DECIDE strategy: in-place restarts its clients; ")
    assert "# Not proposed, by its name no login: api-key (SecretProviderClass shop/orders)" in lines


def test_of_several_endpoints_none_is_chosen(tmp_path: Path) -> None:
    text = proposed(endpoints=[("shop", BALANCER), ("shop", BALANCER | {"service": "other"})])
    assert "# DECIDE endpoint: add one of {kind: load-balancer, namespace: shop, service: orders-db} or " in text
    assert "# MISSING" not in text
    path = tmp_path / "credentials.yaml"
    path.write_text(text)
    assert [problem.field for problem in load_inventory(path).list_problems()] == ["endpoint"]


def test_a_server_is_an_endpoint_where_the_cluster_has_no_database() -> None:
    entry = yaml.safe_load(proposed(endpoints=[("other", BALANCER), ("", SERVER)]))["credentials"]["orders"]
    assert entry["endpoint"] == SERVER


def test_without_any_endpoint_it_is_said_to_be_missing() -> None:
    assert "# DECIDE endpoint: add where its database is reached" in proposed(endpoints=())


def test_one_login_in_two_namespaces_is_one_credential_with_the_consumers_of_both() -> None:
    other = Bundle("SecretProviderClass", "reports", "login", "shopkv", NAMES, {"login": frozenset(NAMES)})
    reports = user("reports", namespace="reports", classes=["login"])
    entries = yaml.safe_load(proposed(bundles=(CLASS, other), users=(API, reports)))["credentials"]
    assert list(entries) == ["orders"]
    assert [each["workload"]["name"] for each in entries["orders"]["consumers"]] == ["api", "reports"]


def test_two_vaults_may_have_logins_of_one_name() -> None:
    other = Bundle("SecretProviderClass", "test", "orders", "testkv", NAMES, SYNCED)
    entries = yaml.safe_load(proposed(bundles=(CLASS, other)))["credentials"]
    assert {name: entry["vault"] for name, entry in entries.items()} == {"orders": "shopkv", "orders-test": "testkv"}


def test_who_only_uses_another_secret_of_the_class_is_no_consumer() -> None:
    synced = {"orders-login": frozenset(NAMES), "keys": frozenset({"api-key"})}
    bundle = Bundle("SecretProviderClass", "shop", "orders", "shopkv", (*NAMES, "api-key"), synced)
    keys = user("keys", secrets=["keys"])
    entry = yaml.safe_load(proposed(bundles=(bundle,), users=(API, keys)))["credentials"]["orders"]
    assert [each["workload"]["name"] for each in entry["consumers"]] == ["api"]


def test_a_workload_of_a_kind_that_cannot_be_listed_is_told_with_the_reason() -> None:
    old = user("old", kind="ReplicationController", classes=["orders"], secrets=["orders-login"])
    said = "# DECIDE consumers: ReplicationController shop/old reads it, too, and cannot be listed: workload.kind: "
    assert said in proposed(users=(API, old))


def test_a_secret_that_another_workload_keeps_is_proposed_with_its_class(tmp_path: Path) -> None:
    reader = user("reader", secrets=["orders-login"])
    path = tmp_path / "credentials.yaml"
    path.write_text(proposed(users=(API, reader)))
    consumers = load_inventory(path).get("orders").consumers
    kept = {"kind": "secret", "secret": "orders-login", "kept_by": "orders"}
    assert [delivery.model_dump() for delivery in consumers[1].every_delivery] == [kept]


def test_a_pod_with_the_username_in_one_class_and_the_password_in_another_has_both(tmp_path: Path) -> None:
    one = Bundle("SecretProviderClass", "shop", "names", "shopkv", NAMES[:1], {"name": frozenset(NAMES[:1])})
    two = Bundle("SecretProviderClass", "shop", "words", "shopkv", NAMES[1:], {"word": frozenset(NAMES[1:])})
    both = user("api", classes=["names", "words"], secrets=["name", "word"])
    path = tmp_path / "credentials.yaml"
    path.write_text(proposed(bundles=(one, two), users=(both,)))
    inventory = load_inventory(path)
    assert inventory.list_problems() == ()
    [consumer] = inventory.get("orders").consumers
    assert [delivery.source for delivery in consumer.every_delivery] == ["names", "words"]


def test_a_secret_that_an_external_secret_keeps_is_proposed_with_it(tmp_path: Path) -> None:
    bundle = Bundle("ExternalSecret", "shop", "orders", "shopkv", NAMES, SYNCED)
    path = tmp_path / "credentials.yaml"
    path.write_text(proposed(bundles=(bundle,), users=(user("api", secrets=["orders-login"]),)))
    inventory = load_inventory(path)
    assert inventory.list_problems() == ()
    [consumer] = inventory.get("orders").consumers
    kept = {"kind": "external-secret", "external_secret": "orders", "synced_secret": "orders-login"}
    assert [delivery.model_dump() for delivery in consumer.every_delivery] == [kept]


def test_a_secret_of_which_fields_are_read_is_a_json_object(tmp_path: Path) -> None:
    fields = {"billing-db": ("user", "password", "host")}
    bundle = Bundle("ExternalSecret", "shop", "x", "shopkv", ("billing-db",), {"x": frozenset(fields)}, fields)
    path = tmp_path / "credentials.yaml"
    path.write_text(proposed(bundles=(bundle,), users=(user("api", secrets=["x"]),)))
    found = load_inventory(path).get("billing-db")
    wanted = {"kind": "json", "secret": "billing-db", "username_field": "user", "password_field": "password"}
    assert found.secrets.model_dump(exclude_none=True, exclude={"encodings"}) == wanted


def test_a_connection_string_is_a_credential_of_its_own(tmp_path: Path) -> None:
    bundle = Bundle("SecretProviderClass", "shop", "billing", "shopkv", ("billing-connection-string",), {})
    path = tmp_path / "credentials.yaml"
    path.write_text(proposed(bundles=(bundle,), users=(user("api", classes=["billing"]),)))
    found = load_inventory(path).get("billing")
    assert found.secrets.names == ("billing-connection-string",)
    assert [consumer.secret_key for consumer in found.consumers] == [""], "files alone"


def test_the_database_itself_is_marked() -> None:
    database = user("db", classes=["orders"], secrets=["orders-login"], is_database=True)
    entry = yaml.safe_load(proposed(users=(database, API)))["credentials"]["orders"]
    assert [each.get("is_database", False) for each in entry["consumers"]] == [True, False]


def test_a_password_without_a_username_says_exactly_what_is_missing(tmp_path: Path) -> None:
    bundle = Bundle("SecretProviderClass", "shop", "orders", "shopkv", ("orders-password",), {})
    text = proposed(bundles=(bundle,), users=())
    assert "# DECIDE secrets: no secret has the username for orders-password; is it PostgreSQL's at all?" in text
    missing = [line for line in text.splitlines() if "# MISSING secrets" in line]
    path = tmp_path / "credentials.yaml"
    path.write_text(text)
    problems = load_inventory(path).list_problems()
    assert problems
    assert len(missing) == len(problems)


def test_a_cluster_without_logins_proposes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "credentials.yaml"
    path.write_text(proposed(bundles=(), users=()))
    assert load_inventory(path).credentials == {}


def test_a_class_that_names_no_vault_is_told() -> None:
    bundle = Bundle("SecretProviderClass", "shop", "orders", "", NAMES, {})
    assert "# Not proposed: SecretProviderClass shop/orders, because nothing tells its vault" in proposed(
        bundles=(bundle,)
    )
