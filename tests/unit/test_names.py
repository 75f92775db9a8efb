"""The names that the models accept: what Azure, Kubernetes or PostgreSQL would refuse never gets that far."""

from typing import Any

import pytest
from pydantic import ValidationError

from infra.credentials import (
    ClusterIpEndpoint,
    ClusterRef,
    ConnectionString,
    Consumer,
    Credential,
    CsiDelivery,
    DerivedSecret,
    ExternalConsumer,
    ExternalSecretDelivery,
    FlexibleServerEndpoint,
    HostEndpoint,
    JsonSecret,
    LoadBalancerEndpoint,
    PasswordAlone,
    PasswordRule,
    SecretDelivery,
    SecretPair,
    Strategy,
    Tls,
    Window,
    WorkloadRef,
)
from infra.credentials.fields import Model
from infra.credentials.texts import ConnectionFormat
from infra.provisioning.options import DeployOptions, ProvisionOptions, StackNames, load_stack
from testing.walkthrough import DATABASE, DEXTER, INVENTORY, ROOT, SERVER, change

SECRET_NAMES = ["", "under_score", "with.dot", "with space", "with/slash", "a" * 128]
ENCODINGS = ["base64", 1]
NAMESPACES = ["", "Upper", "under_score", "with.dot", "-begins", "ends-", "a" * 64]
OBJECT_NAMES = ["", "Upper", "under_score", "-begins", "ends-", "a" * 254]
PORTS = [0, 65536, "postgres"]
MODES = ["", "prefer", "allow", "verify_full"]
RESOURCE_GROUPS = ["", "ends-with.", "with space", "a" * 91]
ADDRESSES = ["", "1.2.3", "host.example", "1.2.3.4/32"]
REFUSED: dict[type[Model], dict[str, list[Any]]] = {
    Credential: {
        "every": ["", "monthly", "0d", "60", "8w", "12345d"],
        "ring": [-1, 100, "canary"],
        "owner": ["a" * 201],
        "grace": ["", "soon", "0h", "24", "1w", "12345d"],
        "unlisted_consumers": ["", "ignore"],
        "password_copies": ["", "ignore"],
        "valid_until": ["", "2027-01-01", "never"],
        "name": ["", "Upper", "under_score", "with.dot", "with space", "-begins", "ends-", "ends\n", "a" * 64],
        "vault": ["kv", "1vault", "double--hyphen", "ends-", "under_score", "a" * 25],
        "lock_namespace": NAMESPACES,
        "database": ["", "a" * 64],
        "strategy": ["", "In-Place", "in_place", "replace"],
    },
    Window: {
        "start": ["", "2:00", "24:00", "02:60"],
        "end": ["", "5", "05:00:00"],
        "time_zone": ["", "Europe/Nowhere", "../etc"],
    },
    SecretPair: {"kind": ["", "json"], "username": SECRET_NAMES, "password": SECRET_NAMES, "encodings": ENCODINGS},
    PasswordAlone: {
        "kind": ["", "pair"],
        "username": ["", "a" * 64],
        "password": SECRET_NAMES,
        "encodings": ENCODINGS,
    },
    JsonSecret: {
        "kind": ["", "pair"],
        "secret": SECRET_NAMES,
        "username_field": ["", "a" * 256],
        "password_field": ["", "a" * 256],
        "encodings": ENCODINGS,
    },
    ConnectionString: {
        "kind": ["", "json"],
        "secret": SECRET_NAMES,
        "format": ["", "URI", "npgsql"],
        "encodings": ENCODINGS,
    },
    DerivedSecret: {
        "secret": SECRET_NAMES,
        "template": ["", "x", "{username", "{nosuch}", "{password:nosuch}", "{password!r}", "{}", "{username.x}"],
    },
    PasswordRule: {"length": [0, 15, 129], "symbols": ["a", " ", "é", "\n", "-" * 33]},
    ClusterRef: {
        "name": ["", "-begins", "ends-", "with.dot", "a" * 64],
        "resource_group": RESOURCE_GROUPS,
        "sign_in": ["", "in_cluster", "kubelogin"],
    },
    LoadBalancerEndpoint: {"kind": ["", "LoadBalancer"], "namespace": NAMESPACES, "service": NAMESPACES, "tls": MODES},
    ClusterIpEndpoint: {
        "kind": ["", "ClusterIP"],
        "namespace": NAMESPACES,
        "service": NAMESPACES,
        "port": PORTS,
        "tls": MODES,
    },
    HostEndpoint: {
        "kind": ["", "dns"],
        "host": ["", "with space", "under_score", "-begins", "ends-", "postgresql://db", "db/orders", "a" * 254],
        "port": PORTS,
        "tls": MODES,
    },
    FlexibleServerEndpoint: {
        "kind": ["", "FlexibleServer"],
        "server": ["ab", "Upper", "-begins", "ends-", "with.dot", "a" * 64],
        "resource_group": RESOURCE_GROUPS,
    },
    ExternalConsumer: {"name": ["", "a" * 101], "owner": ["", "a" * 201]},
    WorkloadRef: {"kind": ["", "deployment", "ReplicaSet"], "namespace": NAMESPACES, "name": OBJECT_NAMES},
    CsiDelivery: {"kind": ["", "CSI"], "secret_provider_class": OBJECT_NAMES, "synced_secret": OBJECT_NAMES},
    ExternalSecretDelivery: {"kind": ["", "ExternalSecret"], "external_secret": OBJECT_NAMES},
    SecretDelivery: {"kind": ["", "Secret"], "secret": OBJECT_NAMES, "kept_by": OBJECT_NAMES},
    StackNames: {
        "credential": [None, 1],
        "server_credential": [None, 1],
        "location": ["", "East US 2", "eastus-2"],
        "first_username": ["", "Dexter", "1dexter", "with-hyphen", "a" * 64],
        "first_password_variable": ["1ST", "WITH-HYPHEN", "A=B"],
        "storage_account": ["ab", "Upper", "with-hyphen", "a" * 25],
        "container": ["ab", "Upper", "double--hyphen", "-begins", "ends-", "a" * 64],
        "blob": ["", "a" * 1025],
        "identity": ["ab", "-begins", "with.dot", "a" * 129],
        "federated_credential": ["ab", "-begins", "a" * 121],
        "virtual_machine": ["", "-begins", "ends-", "under_score", "a" * 65],
        "service_account": NAMESPACES,
        "storage_workload": OBJECT_NAMES,
    },
    ProvisionOptions: {
        "poll_interval_seconds": [0, -1, 86401],
        "machine_size": ["B2s", "Standard B2s"],
        "node_size": ["Basic_A1", ""],
        "node_count": [0, 101],
        "server_size": ["B1ms"],
        "server_version": ["9", "10", "14.1"],
        "first_address": ADDRESSES,
        "last_address": ADDRESSES,
    },
    DeployOptions: {
        "get_storage_image": ["", "Upper", "with space", "-begins", "a" * 256],
        "ready_timeout_seconds": [0, 3601],
        "address_timeout_seconds": [0, 3601],
    },
}
STACK = load_stack("walkthrough", ROOT / "manifests", INVENTORY)
VALID: dict[type[Model], Model] = {
    Credential: change(DEXTER, every="60d"),
    Window: Window(start="22:00", end="04:00"),
    SecretPair: DEXTER.secrets,
    PasswordAlone: PasswordAlone(username="dexter", password="password"),
    JsonSecret: JsonSecret(secret="db", username_field="user", password_field="secret"),
    ConnectionString: ConnectionString(secret="db", format=ConnectionFormat.URI),
    DerivedSecret: DerivedSecret(secret="url", template="{username}:{password}"),
    PasswordRule: PasswordRule(),
    ClusterRef: DEXTER.cluster,
    LoadBalancerEndpoint: DEXTER.endpoint,
    ClusterIpEndpoint: ClusterIpEndpoint(kind="cluster-ip", namespace="dexter", service="db", port=6432),
    HostEndpoint: HostEndpoint(kind="host", host="db.example"),
    FlexibleServerEndpoint: SERVER.endpoint,
    ExternalConsumer: ExternalConsumer(name="the billing company", owner="team orders"),
    WorkloadRef: DATABASE.workload,
    CsiDelivery: DATABASE.every_delivery[0],
    ExternalSecretDelivery: ExternalSecretDelivery(kind="external-secret", external_secret="login"),
    SecretDelivery: SecretDelivery(kind="secret", secret="userpass", kept_by="postgresql-kvname"),
    StackNames: StackNames.model_validate(STACK.model_dump(include=set(StackNames.model_fields))),
    ProvisionOptions: ProvisionOptions(),
    DeployOptions: DeployOptions(),
}
CASES = [
    pytest.param(kind, field, value, id=f"{kind.__name__}.{field}={str(value)[:20]!r}")
    for kind, fields in REFUSED.items()
    for field, values in fields.items()
    for value in values
]


def with_fields(kind: type[Model], /, **fields: Any) -> dict[str, Any]:
    """Return a valid model's fields with changes."""
    return {**VALID[kind].model_dump(), **fields}


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
def test_every_field_that_a_person_writes_has_bounds(kind: type[Model]) -> None:
    written = {field for field, value in VALID[kind] if not isinstance(value, Model | tuple | bool | None)}
    assert set(REFUSED[kind]) == written


@pytest.mark.parametrize(("kind", "field", "value"), CASES)
def test_what_would_be_refused_later_is_refused_by_its_field(kind: type[Model], field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(with_fields(kind, **{field: value}))
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
def test_an_unknown_field_is_refused(kind: type[Model]) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(with_fields(kind, nosuch="x"))
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [(("nosuch",), "extra_forbidden")]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"secrets": {"username": "same", "password": "Same"}}, "username and password have the same secret"),
        ({"administrator": {"username": "USERNAME", "password": "other"}}, "give each a name of its own"),
        ({"strategy": "managed"}, "managed is for a Flexible Server"),
        ({"endpoint": SERVER.endpoint}, "recreate is for a database in the cluster"),
        (
            {"strategy": "in-place", "endpoint": {"kind": "host", "host": "x", "tls": "require", "ca_file": "ca.pem"}},
            "verifies nothing",
        ),
        ({"endpoint": {"kind": "host", "host": "x"}}, "recreate is for a database in the cluster"),
        ({"pooler": {"kind": "host"}}, "pooler.host.host"),
        ({"endpoint": {"kind": "dns", "host": "x"}}, "does not match any of the expected tags"),
        ({"endpoint": {"namespace": "dexter", "service": "x"}}, "Unable to extract tag"),
        ({"before_expiry": "14d"}, "every and before_expiry exclude each other"),
        ({"every": None, "before_expiry": "30d", "expires_after_days": 30}, "it would be due at once"),
        ({"strategy": "alternating", "every": "1d", "grace": "24h"}, "grace lasts as long as every"),
        ({"window": {"start": "02:00", "end": "02:00"}}, "start and end are equal"),
        ({"window": {"start": "02:00", "end": "05:00", "days": ["Sun"]}}, "Input should be 'Monday', 'Tuesday'"),
        ({"consumers": (DATABASE, DATABASE)}, "deployment dexter/postgres-pod-kv is listed more than once"),
    ],
    ids=[
        "one secret",
        "shared secret",
        "managed",
        "recreate",
        "authorities",
        "elsewhere",
        "pooler",
        "unknown endpoint",
        "no kind",
        "two schedules",
        "due at once",
        "due in its grace",
        "no window",
        "no day",
        "listed twice",
    ],
)
def test_a_credential_whose_parts_do_not_fit_together_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Credential.model_validate(with_fields(Credential, **fields))


ENDPOINTS: tuple[type[Model], ...] = (ClusterIpEndpoint, HostEndpoint)
KEPT = {"kind": "secret", "secret": "userpass", "kept_by": "postgresql-kvname"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"delivery": None}, "give delivery, or deliveries"),
        ({"deliveries": [KEPT]}, "give delivery, or deliveries"),
        ({"delivery": None, "deliveries": [KEPT, KEPT]}, "a delivery is listed more than once"),
        ({"delivery": KEPT, "needs_restart": False}, "use deliveries of kind csi"),
        ({"delivery": {"kind": "vault-agent"}}, "does not match any of the expected tags"),
    ],
    ids=["none", "both forms", "listed twice", "files of a Secret", "unknown kind"],
)
def test_a_consumer_whose_parts_do_not_fit_together_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Consumer.model_validate({**DATABASE.model_dump(), "is_database": False, **fields})


def test_files_of_two_classes_that_are_re_read_would_mix_two_logins() -> None:
    classes = tuple(CsiDelivery(secret_provider_class=name) for name in ("only-username", "only-password"))
    follower = Consumer(workload=DATABASE.workload, deliveries=classes, needs_restart=False)
    assert change(DEXTER, strategy=Strategy.IN_PLACE, consumers=(follower,))
    with pytest.raises(ValidationError, match="would mix two logins"):
        change(DEXTER, strategy=Strategy.ALTERNATING, consumers=(follower,))


def test_several_deliveries_are_one_source_and_one_set_of_secrets() -> None:
    classes = [{"kind": "csi", "secret_provider_class": name, "synced_secret": f"sec-{name}"} for name in ("u", "p")]
    files = {"kind": "csi", "secret_provider_class": "f"}
    several = Consumer(workload=DATABASE.workload, deliveries=(*classes, files))
    assert several.source_key == "dexter/u, dexter/p, dexter/f"
    assert several.secret_key == "dexter/sec-u, dexter/sec-p"
    assert Consumer.model_validate(several.model_dump()) == several


@pytest.mark.parametrize("strategy", [Strategy.IN_PLACE, Strategy.ALTERNATING])
@pytest.mark.parametrize(
    "credential",
    [DEXTER, SERVER, *(change(DEXTER, strategy="in-place", endpoint=VALID[kind]) for kind in ENDPOINTS)],
    ids=["load-balancer", "flexible-server", "cluster-ip", "host"],
)
def test_a_strategy_that_changes_a_running_database_fits_every_endpoint(
    credential: Credential, strategy: Strategy
) -> None:
    assert change(credential, strategy=strategy).strategy is strategy


@pytest.mark.parametrize("host", ["db", "DB.corp.example", "10.0.0.4", "fd00::4", "::ffff:10.0.0.4"])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert HostEndpoint(kind="host", host=host).tls is Tls.VERIFY_FULL


def test_the_longest_and_the_shortest_names_are_accepted() -> None:
    for vault, server, cluster, group in (("a" * 24, "a" * 63, "a" * 63, "a" * 90), ("abc", "abc", "a", "(a)._-b")):
        named = change(DEXTER, vault=vault, name="a" * 63, cluster={"name": cluster, "resource_group": group})
        assert (named.vault, named.name) == (vault, "a" * 63)
        assert named.cluster == ClusterRef(name=cluster, resource_group=group)
        assert FlexibleServerEndpoint(server=server, resource_group=group).server == server
    for account in ("a" * 24, "abc"):
        fields = with_fields(StackNames, storage_account=account, first_password_variable="FIRST")
        assert StackNames.model_validate(fields).storage_account == account


def test_the_shipped_credentials_have_secrets_of_their_own() -> None:
    assert DEXTER.secrets.names == ("username", "password")
    assert SERVER.secrets.names == ("server-username", "server-password")
