"""The workload identity webhook."""

import base64
import json
from typing import Any

import pytest

from lab.cluster.webhook import review, workload_identity

TENANT = "72f988bf-0000-4000-8000-2d7cd011db47"
CLIENT = "6a4d4a5e-0000-4000-8000-0123456789ab"


def pod(labels: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    wanted = {"azure.workload.identity/use": "true"} if labels is None else labels
    spec = {"containers": [{"name": "main"}, {"name": "side", "env": [{"name": "AZURE_TENANT_ID", "value": "own"}]}]}
    return {"metadata": {"name": "one", "labels": wanted, **fields}, "spec": spec}


def account(**annotations: str) -> dict[str, Any]:
    given = {"client-id": CLIENT, **{name.replace("_", "-"): value for name, value in annotations.items()}}
    return {"metadata": {"name": "sa", "annotations": {f"azure.workload.identity/{k}": v for k, v in given.items()}}}


def mutate(given: dict[str, Any], **annotations: str) -> dict[str, Any]:
    return workload_identity(TENANT)(given, account(**annotations))


def test_every_container_learns_who_it_is_and_where_its_token_lies() -> None:
    main = mutate(pod())["spec"]["containers"][0]
    assert main["env"] == [
        {"name": "AZURE_CLIENT_ID", "value": CLIENT},
        {"name": "AZURE_TENANT_ID", "value": TENANT},
        {"name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/var/run/secrets/azure/tokens/azure-identity-token"},
        {"name": "AZURE_AUTHORITY_HOST", "value": "https://login.microsoftonline.com/"},
    ]
    mount = {"name": "azure-identity-token", "mountPath": "/var/run/secrets/azure/tokens", "readOnly": True}
    assert main["volumeMounts"] == [mount]


def test_the_token_is_for_the_exchange_and_lives_an_hour() -> None:
    (volume,) = mutate(pod())["spec"]["volumes"]
    token = {"path": "azure-identity-token", "expirationSeconds": 3600, "audience": "api://AzureADTokenExchange"}
    assert volume["projected"]["sources"] == [{"serviceAccountToken": token}]


@pytest.mark.parametrize("labels", [{}, {"azure.workload.identity/use": "True"}, {"azure.workload.identity/use": "no"}])
def test_only_the_label_true_on_the_pod_counts(labels: dict[str, str]) -> None:
    assert mutate(pod(labels)) == pod(labels)


def test_what_a_container_says_itself_stays() -> None:
    side = mutate(pod())["spec"]["containers"][1]
    assert {"name": "AZURE_TENANT_ID", "value": "own"} in side["env"]
    assert len([entry for entry in side["env"] if entry["name"] == "AZURE_TENANT_ID"]) == 1


def test_the_given_pod_is_not_changed() -> None:
    given = pod()
    mutate(given)
    assert given == pod()


@pytest.mark.parametrize(
    ("wish", "seconds"), [("7200", 7200), ("86400", 86400), ("60", 3600), ("90000", 3600), ("soon", 3600)]
)
def test_the_tokens_life_can_be_wished_for_within_bounds(wish: str, seconds: int) -> None:
    made = mutate(pod(), service_account_token_expiration=wish)
    assert made["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == seconds


def test_containers_can_be_left_out_and_tenants_named() -> None:
    annotations = {"azure.workload.identity/skip-containers": "side; other"}
    first, second = mutate(pod(annotations=annotations), tenant_id="theirs")["spec"]["containers"]
    assert {"name": "AZURE_TENANT_ID", "value": "theirs"} in first["env"]
    assert "volumeMounts" not in second


def test_an_admission_review_is_answered_with_a_patch_of_the_spec() -> None:
    answer = review({"request": {"uid": "u1", "object": pod()}}, account(), TENANT)["response"]
    assert (answer["uid"], answer["allowed"], answer["patchType"]) == ("u1", True, "JSONPatch")
    assert json.loads(base64.b64decode(answer["patch"]))[0]["value"] == mutate(pod())["spec"]
