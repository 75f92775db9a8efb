"""Manifests: placeholders are filled in or refused by name, and what comes out is what the walkthrough applies."""

from pathlib import Path

import pytest

from infra.errors import InvalidInput, NotFound
from infra.kubernetes.manifests import fill, load, parse
from infra.kubernetes.pods import keeps_pgdata, read_volumes
from testing.manifest_values import FOLDER, VALUES


def test_the_dexter_manifest_has_the_walkthroughs_objects_in_order() -> None:
    documents = load("dexter.yaml", VALUES, FOLDER)
    assert [(item["kind"], item["metadata"]["name"]) for item in documents] == [
        ("Namespace", "dexter"),
        ("SecretProviderClass", "postgresql-kvname"),
        ("ServiceAccount", "dexter-sa"),
        ("Deployment", "postgres-pod-kv"),
        ("Service", "dexter-service"),
    ]


def test_looked_up_ids_reach_the_provider_class_and_the_service_account() -> None:
    _, provider_class, account, _, _ = load("dexter.yaml", VALUES, FOLDER)
    parameters = provider_class["spec"]["parameters"]
    assert parameters["clientID"] == VALUES["CLIENT_ID"]
    assert parameters["tenantID"] == VALUES["TENANT_ID"]
    assert parameters["keyvaultName"] == "dexterkeyvault"
    assert account["metadata"]["annotations"]["azure.workload.identity/client-id"] == VALUES["CLIENT_ID"]


def test_the_database_takes_its_login_from_the_synced_secret_and_keeps_no_data() -> None:
    template = load("dexter.yaml", VALUES, FOLDER)[3]["spec"]["template"]
    [container] = template["spec"]["containers"]
    references = {variable["name"]: variable.get("valueFrom", {}).get("secretKeyRef") for variable in container["env"]}
    assert references == {
        "POSTGRES_USER": {"name": "userpass", "key": "USERNAME"},
        "POSTGRES_PASSWORD": {"name": "userpass", "key": "PASSWORD"},
    }
    assert [volume.source for volume in read_volumes(template) if volume.kind == "csi"] == ["postgresql-kvname"]
    assert not keeps_pgdata(template)


def test_the_service_selects_the_database_alone() -> None:
    service = load("dexter.yaml", VALUES, FOLDER)[4]
    [storage] = load("medoko.yaml", VALUES, FOLDER)
    labels = storage["spec"]["template"]["metadata"]["labels"]
    assert not service["spec"]["selector"].items() <= labels.items()
    assert labels["azure.workload.identity/use"] == "true"


@pytest.mark.parametrize("missing", sorted(VALUES))
def test_an_unfilled_placeholder_is_refused_by_name(missing: str) -> None:
    values = VALUES | {missing: ""}
    with pytest.raises(InvalidInput) as caught:
        for name in ("dexter.yaml", "medoko.yaml"):
            load(name, values, FOLDER)
    assert caught.value.what == "The manifest has unfilled placeholders"
    assert caught.value.seen == f"no value for {missing}"


@pytest.mark.parametrize("value", ["a\nkind: Secret", 'x"', "a b", "{}", "- x", "${VAULT}", "#", "'"])
def test_a_value_cannot_break_out_of_its_place(value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load("medoko.yaml", VALUES | {"NAMESPACE": value}, FOLDER)
    assert caught.value.name == "NAMESPACE of medoko.yaml"
    assert value not in str(caught.value)


@pytest.mark.parametrize("text", ["${lower}", "${UNCLOSED", "${}", "${A B}"])
def test_a_malformed_placeholder_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="malformed placeholder"):
        fill("x.yaml", f"a: {text}", {"A": "b"})


def test_a_bare_dollar_belongs_to_the_manifest() -> None:
    assert fill("x.yaml", "run: echo $HOME $$ ${A}", {"A": "b"}) == "run: echo $HOME $$ b"


def test_a_manifest_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load("nosuch.yaml", VALUES, tmp_path)
    assert caught.value.name.endswith("nosuch.yaml")


def test_broken_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse("x.yaml", "a: b\nc: [")
    assert caught.value.seen.startswith("line ")


@pytest.mark.parametrize("text", ["just text", "kind: Pod", "- a"])
def test_a_document_that_is_not_an_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not an object"):
        parse("x.yaml", text)
