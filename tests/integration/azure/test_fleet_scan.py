"""What a scan of a vault tells of its credentials: their ages and what is unfinished, in few requests and no values."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from azure_world import VAULT, VAULT_ID, AzureWorld

from infra.azure.client import Azure
from infra.azure.secrets import KeyVault
from infra.credentials import Credential, SecretPair
from infra.errors import AccessDenied, NotFound
from infra.fleet.schedule import Facts
from infra.rotation.attributes import Attributes
from infra.settings import Settings
from lab.control.faults import Fault
from tasks.fleet.scan import Scan, scan_vault
from testing.walkthrough import SERVER, change

MOST_REQUESTS = 35


def credential(number: int = 0) -> Credential:
    return change(
        SERVER, name=f"db-{number}", vault=VAULT, secrets=SecretPair(username=f"u{number}", password=f"p{number}")
    )


@pytest.fixture
def vault(azure: AzureWorld) -> KeyVault:
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    return Azure(Settings()).vault(VAULT)


def look(*credentials: Credential) -> Scan:
    return scan_vault.fn(VAULT, credentials)


def facts_of(credential: Credential) -> Facts:
    found = look(credential)
    assert found.errors == {}
    return found.facts[credential.name]


def write(vault: KeyVault, number: int = 0, **tags: str) -> None:
    vault.write(f"u{number}", "user", tags)
    vault.write(f"p{number}", "secret", tags)


def test_age_and_expiry_are_those_of_the_newest_versions(azure: AzureWorld, vault: KeyVault) -> None:
    write(vault)
    azure.clock.advance(600)
    later = datetime.now(UTC) + timedelta(days=30)
    vault.write("p0", "newer", attributes=Attributes(expires_at=later))
    facts = facts_of(credential())
    assert abs(facts.created_at - azure.clock()) < timedelta(seconds=5)
    assert facts.expires_at is not None
    assert abs(facts.expires_at - later) < timedelta(seconds=1)
    assert facts.unfinished == ""


def test_a_password_that_a_rollback_wrote_again_is_as_old_as_its_first_version(
    azure: AzureWorld, vault: KeyVault
) -> None:
    write(vault)
    first = vault.get_latest("p0")
    azure.clock.advance(600)
    vault.write("p0", "secret", {"restores": first.version, "rotation_id": "r1"})
    assert facts_of(credential()).created_at == first.created_at


@pytest.mark.parametrize(
    ("phase", "grace", "unfinished", "is_grace"),
    [
        ("staged", "", "r1", False),
        ("rolling-back", "", "r1", False),
        ("grace", "2026-12-24T18:00:00+00:00", "r1", True),
        ("grace", "next-rotation", "r1", True),
        ("done", "", "", False),
        ("rolled-back", "", "", False),
        ("nobody's", "", "", False),
    ],
)
def test_the_candidate_tells_what_is_unfinished(
    vault: KeyVault, phase: str, grace: str, unfinished: str, is_grace: bool
) -> None:
    write(vault)
    vault.write("u0-p0-candidate", "{}", {"rotation_id": "r1", "phase": phase, "grace_until": grace})
    facts = facts_of(credential())
    assert (facts.unfinished, facts.is_grace) == (unfinished, is_grace)
    assert facts.grace_until == (datetime(2026, 12, 24, 18, tzinfo=UTC) if grace.startswith("2026") else None)
    assert (facts.changed_at is not None) is bool(unfinished)


def test_a_credential_whose_secret_is_missing_hides_no_other(vault: KeyVault) -> None:
    write(vault)
    found = look(credential(0), credential(1))
    assert set(found.facts) == {"db-0"}
    assert isinstance(found.errors["db-1"], NotFound)
    assert str(found.errors["db-1"]).startswith(f"The secret does not exist: {VAULT}/u1. Code: SecretNotFound.")


def test_a_vault_that_may_not_be_listed_says_which_role_is_missing(azure: AzureWorld, vault: KeyVault) -> None:
    body = json.dumps({"error": {"code": "Forbidden", "message": "no", "innererror": {"code": "ForbiddenByRbac"}}})
    azure.faults.add(Fault(host="*.vault.azure.net", status=403, body=body))
    with pytest.raises(AccessDenied) as caught:
        look(credential())
    assert caught.value.code == "ForbiddenByRbac"
    assert "Key Vault Secrets User" in caught.value.fix


def test_thirty_four_credentials_of_a_vault_cost_few_requests_and_no_value(azure: AzureWorld, vault: KeyVault) -> None:
    credentials = [credential(number) for number in range(34)]
    for number in range(34):
        write(vault, number)
        vault.write(f"u{number}-p{number}-candidate", "{}", {"rotation_id": "r1", "phase": "done"})
    host = f"{VAULT}.vault.azure.net"
    before = azure.cloud.requests.counts()["operator"][host]
    azure.faults.add(Fault(host=host, path="/secrets/*", status=500))
    found = look(*credentials)
    assert len(found.facts) == 34
    assert azure.cloud.requests.counts()["operator"][host] - before <= MOST_REQUESTS
