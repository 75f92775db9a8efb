"""The forms that Prefect makes of the flows' parameters, as deployments keep them."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema

import flows
from flows.rotate import rotate
from testing.labs import ROOT
from testing.walkthrough import DEXTER

MOST_FIELDS = 12


def every_flow() -> Iterator[Flow[Any, Any]]:
    for module in pkgutil.iter_modules(flows.__path__, "flows."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Flow) and inspect.getmodule(value.fn).__name__ == module.name:  # type: ignore[union-attr]
                yield value


FLOWS = list(every_flow())


def fields_of(flow: Flow[Any, Any]) -> Mapping[str, Any]:
    return parameter_schema(flow.fn).properties


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "credentials.yaml"
    monkeypatch.setenv("KEYTURN_CREDENTIALS", str(path))
    return path


def write(path: Path, *names: str) -> None:
    entry = DEXTER.model_dump(mode="json", exclude={"name"})
    path.write_text(yaml.safe_dump({"credentials": dict.fromkeys(names, entry)}))


def test_few_credentials_are_a_drop_down(listed: Path) -> None:
    write(listed, "orders-db", "billing-db")
    for flow in FLOWS:
        if "credential" in flow.parameters.required:
            assert fields_of(flow)["credential"]["enum"] == ["billing-db", "orders-db"], flow.name


@pytest.mark.parametrize("content", ["many", "credentials: [", None])
def test_many_credentials_or_an_inventory_that_cannot_be_read_leave_a_text_field(
    listed: Path, content: str | None
) -> None:
    if content == "many":
        write(listed, *(f"orders-{number}" for number in range(26)))
    elif content:
        listed.write_text(content)
    assert "enum" not in fields_of(rotate)["credential"]
    assert fields_of(rotate)["credential"]["type"] == "string"


def test_a_large_inventory_is_not_read_for_the_form(listed: Path) -> None:
    write(listed, "orders-db")
    listed.write_text(f"# {'x' * 70_000}\n{listed.read_text()}")
    assert "enum" not in fields_of(rotate)["credential"]


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_a_form_has_few_fields_each_with_its_help_and_what_it_is_about_first(flow: Flow[Any, Any]) -> None:
    fields = sorted(fields_of(flow).items(), key=lambda item: item[1]["position"])
    names = [name for name, _ in fields]
    assert len(names) <= MOST_FIELDS
    assert names[0] in ("credential", "credentials", "stack", "dry_run")
    assert all(field.get("description") or "$ref" in field for _, field in fields)
    assert "dry_run" not in names or names.index("dry_run") <= 1, "in sight without scrolling"


def test_every_flow_takes_the_same_name_for_a_credential() -> None:
    takers = {flow.name for flow in FLOWS if "credential" in flow.parameters.properties}
    assert {"rotate", "migrate", "verify login", "check"} <= takers
    for flow in FLOWS:
        others = {name for name in flow.parameters.properties if name.endswith("credential")} - {"credential"}
        assert not others, flow.name


def test_the_rotation_asks_for_what_matters_before_its_groups() -> None:
    fields = fields_of(rotate)
    assert list(fields) == ["credential", "dry_run", "sync", "data_loss", "advanced", "guards"]
    assert fields["dry_run"]["default"] is True


def test_the_deployments_name_credentials_that_the_shipped_inventory_has() -> None:
    shipped = yaml.safe_load((ROOT / "credentials.yaml").read_text())["credentials"]
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    parameters = [made.get("parameters", {}) for made in deployments]
    named = {given["credential"] for given in parameters if "credential" in given}
    assert named <= set(shipped)


def test_a_deployment_that_takes_a_credential_leaves_it_to_the_flow_which_names_exist() -> None:
    takers = {
        f"flows/{flow.fn.__module__.rpartition('.')[2]}.py"
        for flow in FLOWS
        if "credential" in flow.parameters.required
    }
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    checked = {made["name"]: made for made in deployments if made["entrypoint"].partition(":")[0] in takers}
    assert {"rotate", "migrate", "verify-login"} <= set(checked)
    for name, made in checked.items():
        assert made.get("enforce_parameter_schema") is False, name
        assert made["parameters"]["credential"], name
        for schedule in made.get("schedules", ()):
            assert schedule["parameters"]["credential"], f"{name}: the schedule {schedule['slug']} names its credential"
