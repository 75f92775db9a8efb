"""The names that stacks and credentials accept: what Azure, Kubernetes or PostgreSQL would refuse never gets so far."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from infra.credentials import Credential, Inventory
from infra.errors import InvalidInput, NotFound
from infra.provisioning.options import STACK_FILE, ProvisionOptions, Stack, StackNames, load_stack
from testing.labs import ROOT
from testing.walkthrough import DEXTER, SERVER

FOLDER = ROOT / "manifests"
SHIPPED = yaml.safe_load((FOLDER / "walkthrough" / STACK_FILE).read_text())
REFUSED = {
    "location": ["", "East US 2", "eastus-2"],
    "first_username": ["", "Dexter", "1dexter", "with-hyphen", "a" * 64],
    "first_password_variable": ["1ST", "WITH-HYPHEN", "A=B"],
    "storage_account": ["ab", "Upper", "with-hyphen", "a" * 25],
    "container": ["ab", "Upper", "double--hyphen", "-begins", "ends-", "a" * 64],
    "blob": ["", "a" * 1025],
    "identity": ["ab", "-begins", "with.dot", "a" * 129],
    "federated_credential": ["ab", "-begins", "a" * 121],
    "virtual_machine": ["", "-begins", "ends-", "under_score", "a" * 65],
    "service_account": ["", "Upper", "under_score", "a" * 64],
    "storage_workload": ["", "Upper", "under_score", "a" * 254],
}
CREDENTIAL_REFUSED = {
    "vault": ["kv", "1vault", "double--hyphen", "ends-", "under_score", "a" * 25],
    "secrets.username": ["", "under_score", "with.dot", "a" * 128],
    "secrets.password": ["", "with space", "with/slash", "a" * 128],
    "cluster.name": ["", "-begins", "ends-", "with.dot", "a" * 64],
    "cluster.resource_group": ["", "ends-with.", "with space", "a" * 91],
    "endpoint.server": ["ab", "Upper", "-begins", "ends-", "with.dot", "a" * 64],
    "lock_namespace": ["", "Upper", "-begins", "ends-", "a" * 64],
}
OPTIONS_REFUSED = {
    "poll_interval_seconds": [0, -1, 86401],
    "machine_size": ["B2s", "Standard B2s"],
    "node_size": ["Basic_A1", ""],
    "node_count": [0, 101],
    "server_size": ["B1ms"],
    "server_version": ["9", "10", "14.1"],
    "first_address": ["", "1.2.3", "host.example"],
    "last_address": ["1.2.3.4/32"],
}


def changed(credential: Credential, path: str, value: object) -> Credential:
    """A credential with another value in one of its fields."""
    fields = credential.model_dump(mode="json")
    outer, _, inner = path.rpartition(".")
    (fields[outer] if outer else fields)[inner] = value
    return Credential.model_validate(fields)


def load(folder: Path = FOLDER, *credentials: Credential) -> Stack:
    known = {credential.name: credential for credential in (DEXTER, SERVER, *credentials)}
    return load_stack("walkthrough", folder, Inventory(Path("credentials.yaml"), known))


def load_changed(folder: Path, **names: Any) -> Stack:
    (folder / "walkthrough").mkdir()
    (folder / "walkthrough" / STACK_FILE).write_text(yaml.safe_dump(SHIPPED | names))
    return load(folder)


def cases(refused: dict[str, list[Any]]) -> list[tuple[str, object]]:
    return [(field, value) for field, values in refused.items() for value in values]


def test_every_name_of_the_stack_has_bounds() -> None:
    assert set(REFUSED) == set(StackNames.model_fields) - {"credential", "server_credential"}
    assert set(OPTIONS_REFUSED) == set(ProvisionOptions.model_fields)


@pytest.mark.parametrize(("field", "value"), cases(REFUSED))
def test_a_name_that_would_be_refused_is_refused_by_its_field(field: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_changed(tmp_path, **{field: value})
    assert caught.value.seen.startswith(f"{field}: ")
    assert caught.value.name == str(tmp_path / "walkthrough" / STACK_FILE)


@pytest.mark.parametrize(("path", "value"), cases(CREDENTIAL_REFUSED))
def test_a_name_of_a_credential_that_would_be_refused_is_refused_by_its_field(path: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        changed(SERVER, path, value)
    (error,) = caught.value.errors()
    assert (error["loc"][0], error["loc"][-1]) == (path.split(".")[0], path.split(".")[-1])


@pytest.mark.parametrize(("field", "value"), cases(OPTIONS_REFUSED))
def test_a_size_or_version_that_would_be_refused_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        ProvisionOptions.model_validate({field: value})
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize("secrets", [{"username": "username"}, {"password": "PASSWORD"}])
def test_two_logins_never_share_a_secret(secrets: dict[str, str]) -> None:
    (part, name) = next(iter(secrets.items()))
    with pytest.raises(InvalidInput, match="share a secret"):
        load(FOLDER, changed(SERVER, f"secrets.{part}", name))


@pytest.mark.parametrize("names", [("same", "same"), ("same", "Same")])
def test_username_and_password_never_share_a_secret(names: tuple[str, str]) -> None:
    with pytest.raises(ValidationError, match="two secrets of different names"):
        changed(changed(DEXTER, "secrets.username", names[0]), "secrets.password", names[1])


def test_the_longest_and_the_shortest_names_are_accepted(tmp_path: Path) -> None:
    assert load_changed(tmp_path, storage_account="a" * 24).storage_account == "a" * 24
    for path, value in (
        ("vault", "a" * 24),
        ("vault", "abc"),
        ("endpoint.server", "a" * 63),
        ("endpoint.server", "abc"),
        ("cluster.name", "a"),
        ("cluster.resource_group", "(a)._-b"),
    ):
        changed(SERVER, path, value)


def test_each_credential_has_secrets_of_its_own() -> None:
    assert DEXTER.secrets.names == ("username", "password")
    assert SERVER.secrets.names == ("server-username", "server-password")


def test_credentials_that_make_no_stack_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="are in different vaults"):
        load(FOLDER, changed(SERVER, "vault", "othervault"))
    with pytest.raises(InvalidInput, match="dexter-server is not a database in the cluster"):
        load_changed(tmp_path, credential="dexter-server", server_credential="dexter")


def test_a_stack_or_credential_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load(tmp_path)
    assert caught.value.name == str(tmp_path / "walkthrough" / STACK_FILE)
    assert "KEYTURN_STACKS" in caught.value.fix
    with pytest.raises(NotFound) as caught:
        load_changed(tmp_path, credential="nosuch")
    assert caught.value.name == "nosuch"
