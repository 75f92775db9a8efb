"""The file of a stack: names that Azure would refuse, and credentials that make no stack, never get so far."""

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
import yaml

from infra.credentials import Credential, load_inventory
from infra.errors import InvalidInput, NotFound
from infra.provisioning.options import STACK_FILE, Stack, load_stack
from testing.labs import ROOT
from testing.walkthrough import DEXTER, SERVER

FOLDER = ROOT / "manifests"
SHIPPED = yaml.safe_load((FOLDER / "walkthrough" / STACK_FILE).read_text())


def changed(credential: Credential, path: str, value: object) -> Credential:
    """A credential with another value in one of its fields."""
    fields = credential.model_dump(mode="json")
    outer, _, inner = path.rpartition(".")
    (fields[outer] if outer else fields)[inner] = value
    return Credential.model_validate(fields)


def load(folder: Path = FOLDER, *credentials: Credential) -> Stack:
    known = {credential.name: credential for credential in (DEXTER, SERVER, *credentials)}
    entries = {name: credential.model_dump(mode="json", exclude={"name"}) for name, credential in known.items()}
    with NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"credentials": entries}, file)
        file.flush()
        return load_stack("walkthrough", folder, load_inventory(Path(file.name)))


def load_changed(folder: Path, **names: Any) -> Stack:
    (folder / "walkthrough").mkdir()
    (folder / "walkthrough" / STACK_FILE).write_text(yaml.safe_dump(SHIPPED | names))
    return load(folder)


@pytest.mark.parametrize(("field", "value"), [("location", "East US 2"), ("blob", ""), ("container", None)])
def test_a_name_that_would_be_refused_is_refused_by_its_field_and_file(
    field: str, value: object, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_changed(tmp_path, **{field: value})
    assert caught.value.seen.startswith(f"{field}: ")
    assert caught.value.name == str(tmp_path / "walkthrough" / STACK_FILE)


@pytest.mark.parametrize("secrets", [{"username": "username"}, {"password": "PASSWORD"}])
def test_two_logins_never_share_a_secret(secrets: dict[str, str]) -> None:
    (part, name) = next(iter(secrets.items()))
    with pytest.raises(InvalidInput, match="share a secret"):
        load(FOLDER, changed(SERVER, f"secrets.{part}", name))


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


def test_credentials_that_make_no_stack_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="are in different vaults"):
        load(FOLDER, changed(SERVER, "vault", "othervault"))
    with pytest.raises(InvalidInput, match="dexter-server is not a database in the cluster"):
        load_changed(tmp_path, credential="dexter-server", server_credential="dexter")
    with pytest.raises(InvalidInput, match="dexter-server is not kept as a pair of secrets"):
        load(FOLDER, changed(SERVER, "secrets", {"kind": "json", "secret": "server"}))


def test_a_stack_or_credential_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load(tmp_path)
    assert caught.value.name == str(tmp_path / "walkthrough" / STACK_FILE)
    assert "KEYTURN_STACKS" in caught.value.fix
    with pytest.raises(NotFound) as caught:
        load_changed(tmp_path, credential="nosuch")
    assert caught.value.name == "nosuch"
