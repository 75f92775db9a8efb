"""What a consumer's class must bring it: both secrets to the database, what it uses to a client."""

from dataclasses import replace

import pytest

from infra.errors import Conflict
from infra.kubernetes.provider_classes import ProviderClass
from infra.rotation.candidate import Credential
from infra.targets import WALKTHROUGH_CONSUMER, Consumer, Target
from tasks.credentials import find_mismatch, synced_values, used_secrets

TARGET, DATABASE = Target(), WALKTHROUGH_CONSUMER
CLIENT = DATABASE.model_copy(update={"workload": "client", "is_database": False})
FILES = {"username": "username", "password": "password"}
KEYS = {"userpass": {"USERNAME": "username", "PASSWORD": "password"}}


BOTH = ProviderClass("postgresql-kvname", "dexterkeyvault", "client", "tenant", FILES, KEYS)


def provider(**changes: object) -> ProviderClass:
    return replace(BOTH, **changes)  # type: ignore[arg-type]


def test_a_class_that_brings_both_fits_everybody() -> None:
    assert find_mismatch(TARGET, DATABASE, BOTH) is None
    assert find_mismatch(TARGET, CLIENT, BOTH) is None


def test_a_client_may_use_the_password_alone_and_the_database_may_not() -> None:
    one = provider(files={"pw": "password", "other": "other"}, synced={"userpass": {"PW": "password"}})
    assert used_secrets(TARGET, one) == {"password"}
    assert find_mismatch(TARGET, CLIENT, one) is None
    refusal = find_mismatch(TARGET, DATABASE, one)
    assert type(refusal) is Conflict
    assert refusal.seen == "it does not mount username"
    assert synced_values(TARGET, CLIENT, one, Credential("dexter", "secret")) == {"PW": "secret"}


@pytest.mark.parametrize("consumer", [DATABASE, CLIENT])
@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"vault": "elsewhere"}, "it reads the vault 'elsewhere'"),
        ({"files": {"other": "other"}}, "it does not mount password, username"),
        ({"synced": {}}, "the Secret userpass has no key for password, username"),
    ],
)
def test_a_class_that_does_not_fit_is_refused_by_name(
    consumer: Consumer, changes: dict[str, object], seen: str
) -> None:
    refusal = find_mismatch(TARGET, consumer, provider(**changes))
    assert type(refusal) is Conflict
    assert refusal.code == "ProviderClassMismatch"
    assert refusal.name == "postgresql-kvname in dexter"
    assert refusal.seen == seen


def test_a_workload_is_listed_once() -> None:
    with pytest.raises(ValueError, match="a workload is listed once: dexter/postgres-pod-kv"):
        Target(consumers=(DATABASE, DATABASE))
