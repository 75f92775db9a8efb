"""Principals, attached identities, federated credentials, and the tokens that speak for them."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.azure.directory import Directory, Principal
from lab.azure.errors import AzureError
from lab.azure.tokens import TokenRejected, Tokens

TENANT, OPERATOR = "72f988bf-0000-4000-8000-2d7cd011db47", "5f0e7a3c-0000-4000-8000-0a0b0c0d0e0f"
MACHINE = "/subscriptions/x/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
IDENTITY = "/subscriptions/x/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
ISSUER, SUBJECT, AUDIENCES = "https://issuer/", "system:serviceaccount:dexter:dexter-sa", ("api://X",)
VAULT = ("https://vault.azure.net",)


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(clock: Clock) -> Directory:
    numbers = count(1)
    return Directory(clock, OPERATOR, timedelta(seconds=10), lambda: f"id-{next(numbers)}")


@pytest.fixture
def identity(directory: Directory) -> Principal:
    return directory.add_user_identity(IDENTITY)


@pytest.fixture
def tokens(directory: Directory, clock: Clock) -> Tokens:
    return Tokens(TENANT, directory, clock)


def test_an_identity_is_made_once_and_found_by_all_its_ids(directory: Directory) -> None:
    made = directory.add_system_identity(MACHINE)
    assert directory.add_system_identity(MACHINE.upper()) == made
    assert (made.name, made.kind) == ("vm", "system")
    assert directory.by_object_id(made.object_id) == made
    assert directory.by_client_id(made.client_id.upper()) == made
    assert directory.by_resource_id(MACHINE.lower()) == made


def test_no_identity_belongs_to_no_resource(directory: Directory) -> None:
    assert directory.by_resource_id("") is None


def test_a_secret_belongs_to_its_application(directory: Directory, identity: Principal) -> None:
    assert directory.has_secret(OPERATOR, directory.operator_secret)
    assert not directory.has_secret(OPERATOR, "")
    assert not directory.has_secret(identity.client_id, directory.operator_secret)


def test_each_lab_has_a_secret_of_its_own(directory: Directory, clock: Clock) -> None:
    assert Directory(clock, OPERATOR).operator_secret != directory.operator_secret


def test_identities_are_attached_and_detached(directory: Directory, identity: Principal) -> None:
    other = directory.add_user_identity(f"{IDENTITY}2")
    for item in (identity, other, identity):
        directory.attach(MACHINE, item)
    assert directory.attached(MACHINE.lower()) == [identity, other]
    directory.detach(MACHINE, other)
    assert directory.attached(MACHINE) == [identity]
    directory.detach(MACHINE)
    assert directory.attached(MACHINE) == []


def test_a_removed_identity_is_attached_to_nothing(directory: Directory, identity: Principal) -> None:
    directory.attach(MACHINE, identity)
    directory.add_federated_credential(identity.object_id, "one", ISSUER, SUBJECT, AUDIENCES)
    directory.remove(identity.object_id)
    assert directory.attached(MACHINE) == []
    assert directory.federated_credentials(identity.object_id) == []
    assert directory.by_resource_id(IDENTITY) is None


def test_a_federated_credential_is_replaced_by_name(directory: Directory, identity: Principal) -> None:
    directory.add_federated_credential(identity.object_id, "one", ISSUER, SUBJECT, AUDIENCES)
    directory.add_federated_credential(identity.object_id, "ONE", ISSUER, "other", AUDIENCES)
    found = directory.federated_credentials(identity.object_id)
    assert [(item.name, item.subject) for item in found] == [("ONE", "other")]
    directory.remove_federated_credential(identity.object_id, "one")
    directory.remove_federated_credential(identity.object_id, "one")
    assert directory.find_federated_credential(identity.object_id, "one") is None


def test_two_federated_credentials_with_one_subject_are_refused(directory: Directory, identity: Principal) -> None:
    directory.add_federated_credential(identity.object_id, "one", ISSUER, SUBJECT, AUDIENCES)
    with pytest.raises(AzureError, match="Issuer and subject combination already exists") as caught:
        directory.add_federated_credential(identity.object_id, "two", ISSUER, SUBJECT, ("api://Y",))
    assert caught.value.status == 409
    assert len(directory.federated_credentials(identity.object_id)) == 1


def test_an_identity_has_at_most_twenty_federated_credentials(directory: Directory, identity: Principal) -> None:
    for number in range(20):
        directory.add_federated_credential(identity.object_id, f"c{number}", ISSUER, f"s{number}", AUDIENCES)
    with pytest.raises(AzureError, match="Too many Federated Identity Credentials"):
        directory.add_federated_credential(identity.object_id, "c20", ISSUER, "s20", AUDIENCES)
    assert directory.add_federated_credential(identity.object_id, "c19", ISSUER, "changed", AUDIENCES)


def test_a_federated_credential_takes_effect_after_its_propagation(
    directory: Directory, identity: Principal, clock: Clock
) -> None:
    directory.add_federated_credential(identity.object_id, "one", ISSUER, SUBJECT, AUDIENCES)
    assert directory.effective_federated_credentials(identity.object_id) == []
    clock.moment += timedelta(seconds=10)
    assert len(directory.effective_federated_credentials(identity.object_id)) == 1


def test_a_token_leads_back_to_its_principal(tokens: Tokens, identity: Principal) -> None:
    token = tokens.issue(identity, VAULT[0])
    assert tokens.verify_token(token, VAULT) == identity
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["xms_mirid"] == IDENTITY


def test_a_token_that_was_accepted_is_rejected_for_others_and_once_it_has_expired(
    tokens: Tokens, identity: Principal, clock: Clock
) -> None:
    token = tokens.issue(identity, VAULT[0])
    assert tokens.verify_token(token, VAULT) == identity
    with pytest.raises(TokenRejected, match="audience"):
        tokens.verify_token(token, ("https://management.azure.com",))
    clock.moment += tokens.lifetime
    with pytest.raises(TokenRejected, match="expired"):
        tokens.verify_token(token, VAULT)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "https://management.azure.com"}, "audience"),
        ({"iss": "https://sts.windows.net/other/"}, "issuer"),
        ({"exp": 0}, "expired"),
        ({"nbf": 4_000_000_000}, "expired"),
        ({"oid": "nobody"}, "principal"),
    ],
)
def test_a_token_with_a_claim_that_does_not_fit_is_rejected(
    tokens: Tokens, identity: Principal, changed: dict[str, Any], reason: str
) -> None:
    claims = jwt.decode(tokens.issue(identity, VAULT[0]), options={"verify_signature": False})
    signed = jwt.encode({**claims, **changed}, tokens._key, algorithm="RS256")
    with pytest.raises(TokenRejected) as caught:
        tokens.verify_token(signed, VAULT)
    assert caught.value.reason == reason


def test_a_token_of_another_key_or_algorithm_is_rejected(tokens: Tokens, identity: Principal) -> None:
    claims = jwt.decode(tokens.issue(identity, VAULT[0]), options={"verify_signature": False})
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for token, reason in (
        (jwt.encode(claims, other, algorithm="RS256"), "signature"),
        (jwt.encode(claims, "", algorithm="none"), "malformed"),
        ("a.b.c", "malformed"),
    ):
        with pytest.raises(TokenRejected) as caught:
            tokens.verify_token(token, VAULT)
        assert caught.value.reason == reason
