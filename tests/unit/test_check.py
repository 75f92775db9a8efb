"""`python -m flows.check`: every mistake of an inventory in words, without a network; and the schema for editors."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from flows.check import main
from infra.credentials.schema import make_schema
from testing.labs import ROOT
from testing.walkthrough import DEXTER, SERVER

SHIPPED = yaml.safe_load((ROOT / "credentials.yaml").read_text())
MISTAKES = """\
defaults:
  vault: orderskv
credentials:
  orders-db:
    strategy: in_place
    cluster: {name: aks, resource_group: rg}
    lock_namespace: orders
    endpoint: {kind: flexible-server, server: orders, resource_group: rg}
    secrets: {kind: pair, username: orders-username, password: orders.password}
  billing-db: {}
"""


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "credentials.yaml"
    monkeypatch.setenv("KEYTURN_CREDENTIALS", str(path))
    return path


def test_the_shipped_inventory_can_be_used(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYTURN_CREDENTIALS", str(ROOT / "credentials.yaml"))
    assert main([]) == 0
    assert capsys.readouterr().out == f"{ROOT / 'credentials.yaml'}: 2 credentials can be used.\n"


def test_every_mistake_is_a_line_with_file_line_field_and_what_to_write(
    inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory.write_text(MISTAKES)
    assert main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{inventory}:5: orders-db: strategy: 'in_place' is none of its values. ")
    assert lines[0].endswith("; in-place was probably meant.")
    secret = f"{inventory}:9: orders-db: secrets.password: a text of 15 characters does not fit. Fix: write "
    assert lines[1] == f"{secret}1-127 letters, digits and hyphens."
    missing = [line.split(": ")[2] for line in lines[2:]]
    assert missing == ["cluster", "endpoint", "lock_namespace", "secrets", "strategy"]
    assert all(line.startswith(f"{inventory}:10: billing-db: ") for line in lines[2:])


def test_one_credential_is_checked_by_its_name(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = {"orders-db": DEXTER, "billing-db": SERVER}
    content = {name: known.model_dump(mode="json", exclude={"name"}) for name, known in entries.items()}
    inventory.write_text(yaml.safe_dump({"credentials": {**content, "broken": {"vaults": "x"}}}))
    assert main(["orders-db"]) == 0
    assert capsys.readouterr().out == f"{inventory}: orders-db can be used.\n"
    assert main(["broken", "--live"]) == 1, "what cannot be used is not looked at"
    assert "vaults: there is no such field" in capsys.readouterr().out
    assert main(["nosuch"]) == 1
    assert "has billing-db, broken, orders-db" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [("credentials: [", "The file cannot be used"), ("a: b", "no mapping `credentials`"), (None, "cannot be read")],
)
def test_an_inventory_that_cannot_be_read_is_told_in_one_line(
    inventory: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str
) -> None:
    if text is not None:
        inventory.write_text(text)
    assert main([]) == 1
    printed = capsys.readouterr().out
    assert words in printed
    assert printed.count("\n") == 1


def test_the_shipped_schema_is_current() -> None:
    shipped = json.loads((ROOT / "credentials.schema.json").read_text())
    assert shipped == make_schema(), "make schema"


def test_the_shipped_inventory_names_its_schema_and_fits_it() -> None:
    first = (ROOT / "credentials.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=credentials.schema.json"
    jsonschema.validate(SHIPPED, make_schema())


@pytest.mark.parametrize(
    "content",
    [
        {"credential": {}},
        {"credentials": {"Orders DB": {}}},
        {"credentials": {"orders-db": {"name": "x"}}},
        {"credentials": {"orders-db": {"strategy": "in_place"}}},
        {"credentials": {"orders-db": {"endpoint": {"kind": "flexible-server"}}}},
        {"defaults": {"vaults": "x"}, "credentials": {}},
    ],
)
def test_the_schema_refuses_what_an_editor_can_see(content: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, make_schema())


def test_a_required_field_may_come_from_the_defaults() -> None:
    content = {"defaults": {"vault": "orderskv"}, "credentials": {"orders-db": {"ring": 0}}}
    schema = make_schema()
    assert list(jsonschema.validators.validator_for(schema)(schema).iter_errors(content)) == []


def test_the_example_of_the_documentation_can_be_used(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "credentials.md").read_text()
    inventory.write_text(text.partition("```yaml\n")[2].partition("```")[0])
    assert main([]) == 0, capsys.readouterr().out
    jsonschema.validate(yaml.safe_load(inventory.read_text().replace("22:00", "'22:00'")), make_schema())
