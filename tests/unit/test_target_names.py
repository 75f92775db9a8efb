"""The names that the models take: what Azure, Kubernetes or PostgreSQL would refuse never gets that far."""

import pytest
from pydantic import ValidationError

from infra.targets import ProvisionOptions, Stack
from testing.inventory import DEXTER, DEXTER_SERVER

REFUSED = {
    "resource_group": ["", "ends-with.", "with space", "a" * 91],
    "location": ["", "East US 2", "eastus-2"],
    "vault": ["kv", "1vault", "double--hyphen", "ends-", "under_score", "a" * 25],
    "username_secret": ["", "under_score", "with.dot", "a" * 128],
    "password_secret": ["", "with space", "a" * 128],
    "server_username_secret": ["", "under_score", "a" * 128],
    "server_password_secret": ["", "with/slash", "a" * 128],
    "first_username": ["", "Dexter", "1dexter", "with-hyphen", "a" * 64],
    "first_password_variable": ["1ST", "WITH-HYPHEN", "A=B"],
    "storage_account": ["ab", "Upper", "with-hyphen", "a" * 25],
    "container": ["ab", "Upper", "double--hyphen", "-begins", "ends-", "a" * 64],
    "blob": ["", "a" * 1025],
    "identity": ["ab", "-begins", "with.dot", "a" * 129],
    "federated_credential": ["ab", "-begins", "a" * 121],
    "cluster": ["", "-begins", "ends-", "with.dot", "a" * 64],
    "poll_interval_seconds": [0, -1, 86401],
    "virtual_machine": ["", "-begins", "ends-", "under_score", "a" * 65],
    "server": ["ab", "Upper", "-begins", "ends-", "with.dot", "a" * 64],
    "namespace": ["", "Upper", "-begins", "ends-", "a" * 64],
    "service_account": ["", "Upper", "under_score", "a" * 64],
}
OPTIONS_REFUSED = {
    "machine_size": ["B2s", "Standard B2s"],
    "node_size": ["Basic_A1", ""],
    "node_count": [0, 101],
    "server_size": ["B1ms"],
    "server_version": ["9", "10", "14.1"],
    "first_address": ["", "1.2.3", "host.example"],
    "last_address": ["1.2.3.4/32"],
}


def test_every_name_of_the_stack_has_bounds() -> None:
    assert set(REFUSED) == set(Stack.model_fields)


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in REFUSED.items() for value in values])
def test_a_name_that_would_be_refused_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Stack.model_validate({field: value})
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in OPTIONS_REFUSED.items() for value in values]
)
def test_a_size_or_version_that_would_be_refused_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        ProvisionOptions.model_validate({field: value})
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    "names",
    [
        {"server_username_secret": "username"},
        {"server_password_secret": "PASSWORD"},
        {"username_secret": "same", "password_secret": "same"},
        {"server_username_secret": "same", "server_password_secret": "Same"},
    ],
)
def test_two_logins_never_share_a_secret(names: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="four different names"):
        Stack.model_validate(names)


def test_the_longest_and_the_shortest_names_are_taken() -> None:
    Stack.model_validate({"vault": "a" * 24, "storage_account": "a" * 24, "server": "a" * 63, "cluster": "a"})
    Stack.model_validate({"vault": "abc", "storage_account": "abc", "server": "abc", "resource_group": "(a)._-b"})


def test_each_way_of_a_login_has_secrets_of_its_own() -> None:
    assert DEXTER.secrets.names == ("username", "password")
    assert DEXTER_SERVER.secrets.names == ("server-username", "server-password")
