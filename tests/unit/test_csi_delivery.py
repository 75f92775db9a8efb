"""What a SecretProviderClass must bring its consumer: both secrets to the database, what it uses to a client."""

import hashlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from infra.credentials import Consumer, CsiDelivery, Encoding, WorkloadRef
from infra.errors import Conflict
from infra.kubernetes.deliveries.csi import CsiSecretsStore
from infra.kubernetes.deliveries.provider_classes import ProviderClass, read_provider_class
from infra.kubernetes.pods import Volume
from infra.kubernetes.workloads import RestartFacts, Workload

NAMES = ("username", "password")
VALUES = {"username": "dexter", "password": "secret"}
FILES = {"username": "username", "password": "password"}
KEYS = {"userpass": {"USERNAME": "username", "PASSWORD": "password"}}
BOTH = ProviderClass("postgresql-kvname", "dexterkeyvault", "client", "tenant", FILES, KEYS)
PASSWORD_ALONE = replace(
    BOTH, files={"pw": "password", "other": "other"}, synced={"userpass": {"PW": "password", "OTHER": "other"}}
)


def delivery(provider: ProviderClass, is_database: bool = True) -> Any:
    consumer = Consumer(
        workload=WorkloadRef(namespace="dexter", name="db"),
        delivery=CsiDelivery(secret_provider_class="postgresql-kvname", synced_secret="userpass"),
        is_database=is_database,
    )
    opened: Any = CsiSecretsStore(None, consumer)  # type: ignore[arg-type]
    opened._provider = provider
    return opened


@pytest.mark.parametrize("is_database", [True, False])
def test_a_class_that_brings_both_fits_everybody(is_database: bool) -> None:
    assert delivery(BOTH, is_database).find_mismatch("DexterKeyVault", NAMES) is None


def test_a_client_may_use_the_password_alone_and_the_database_may_not() -> None:
    client = delivery(PASSWORD_ALONE, is_database=False)
    assert client.uses(NAMES) == {"password"}
    assert client.find_mismatch("dexterkeyvault", NAMES) is None
    mismatch = delivery(PASSWORD_ALONE).find_mismatch("dexterkeyvault", NAMES)
    assert type(mismatch) is Conflict
    assert mismatch.seen == "it does not mount username"


@pytest.mark.parametrize("is_database", [True, False])
@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"vault": "elsewhere"}, "it reads the vault 'elsewhere'"),
        ({"files": {"other": "other"}}, "it does not mount password, username"),
        ({"synced": {}}, "the Secret userpass has no key for password, username"),
    ],
)
def test_a_class_that_does_not_fit_is_a_mismatch_that_names_it(
    is_database: bool, changes: dict[str, Any], seen: str
) -> None:
    mismatch = delivery(replace(BOTH, **changes), is_database).find_mismatch("dexterkeyvault", NAMES)
    assert type(mismatch) is Conflict
    assert (mismatch.code, mismatch.name) == ("ProviderClassMismatch", "postgresql-kvname in dexter")
    assert mismatch.seen == seen


@pytest.mark.parametrize("names", [("Username", "PASSWORD"), NAMES])
def test_the_case_of_the_secrets_names_does_not_count(names: tuple[str, str]) -> None:
    """Key Vault does not count it either."""
    found, values = delivery(BOTH), dict(zip(names, ("dexter", "secret"), strict=True))
    assert found.find_mismatch("dexterkeyvault", names) is None
    assert found.uses(names) == set(names)
    assert found._expect(values) == {"USERNAME": "dexter", "PASSWORD": "secret"}
    volume = Volume("a", "csi", "/mnt", "postgresql-kvname")
    files = found.files(Workload(1, True, (), (volume,), False, RestartFacts()), values)
    assert dict(files.values) == {"/mnt/username": "dexter", "/mnt/password": "secret"}
    pinned = delivery(replace(BOTH, pinned={"password": "v1"})).find_mismatch("dexterkeyvault", names)
    assert pinned is not None
    assert names[1] in pinned.seen
    status = {
        "metadata": {"ownerReferences": [{"kind": "Pod", "uid": "1"}]},
        "status": {
            "secretProviderClassName": "postgresql-kvname",
            "mounted": True,
            "objects": [{"id": "secret/pAssword", "version": "abc"}, {"id": "secret/other", "version": "def"}],
        },
    }
    assert found._read_versions([status], names) == {"1": {names[1]: "abc", "other": "def"}}


def test_a_secret_that_the_class_no_longer_syncs_is_a_mismatch_and_not_a_proof() -> None:
    with pytest.raises(Conflict, match="no key for password, username"):
        delivery(replace(BOTH, synced={})).seal(VALUES)


def test_the_files_are_those_of_the_class_in_the_first_container_that_has_them_all() -> None:
    volumes = (
        Volume("c", "csi", "/mnt/c", "another", container="sidecar"),
        Volume("a", "csi", "/mnt/part", "postgresql-kvname", "pw", "sidecar"),
        Volume("a", "csi", "/mnt/a", "postgresql-kvname", container="db"),
        Volume("b", "csi", "/mnt/b", "postgresql-kvname", container="db"),
        Volume("a", "csi", "/mnt/d", "postgresql-kvname", container="exporter"),
    )
    workload = Workload(1, True, (), volumes, False, RestartFacts())
    files = delivery(PASSWORD_ALONE, False).files(workload, VALUES)
    assert (files.container, files.values) == ("db", {"/mnt/a/pw": "secret", "/mnt/b/pw": "secret"})


ENCODED = """
array:
  - |
    objectName: Password
    objectType: secret
    objectEncoding: Base64
  - |
    objectName: username
    objectType: secret
    objectVersionHistory: {history}
"""


def read_class(history: int, file: str = "username") -> ProviderClass:
    """Read a class that decodes the password, and mounts some versions of the username."""
    keys = [{"key": "PASSWORD", "objectName": "Password"}, {"key": "USERNAME", "objectName": file}]
    spec = {
        "parameters": {"keyvaultName": "dexterkeyvault", "objects": ENCODED.format(history=history)},
        "secretObjects": [{"secretName": "userpass", "data": keys}],
    }
    return read_provider_class({"metadata": {"name": "postgresql-kvname"}, "spec": spec})


def test_what_a_class_decodes_is_compared_as_the_pods_get_it() -> None:
    found = delivery(read_class(history=1))
    assert found.find_mismatch("dexterkeyvault", NAMES) is None
    assert found._provider.decoded == {"password": Encoding.BASE64}
    assert found._expect({"username": "c2VjcmV0", "password": "c2VjcmV0"}) == {
        "USERNAME": "c2VjcmV0",
        "PASSWORD": "secret",
    }
    volume = Volume("kv", "csi", "/mederma", "postgresql-kvname", "", "postgresql")
    workload: Any = SimpleNamespace(volumes=[volume])
    files = found.files(workload, {"username": "dexter", "password": "c2VjcmV0"})
    assert files.values == {"/mederma/Password": "secret", "/mederma/username": "dexter"}


def test_a_class_that_also_mounts_older_versions_is_read_by_its_newest_one() -> None:
    found = delivery(read_class(history=2, file="username/0"))
    assert found.find_mismatch("dexterkeyvault", NAMES) is None
    assert found.uses(NAMES) == set(NAMES)
    assert found._expect({"username": "dexter", "password": "x"})["USERNAME"] == "dexter"
    workload: Any = SimpleNamespace(volumes=[Volume("kv", "csi", "/mederma", "postgresql-kvname", "", "postgresql")])
    assert "/mederma/username/0" in found.files(workload, {"username": "dexter", "password": "x"}).values
    ids = {"secret/username/1": "old", "secret/username/0": "new", "secret/username/2": "older", "secret/Password": "p"}
    objects = [{"id": name, "version": version} for name, version in ids.items()]
    owner = {"kind": "Pod", "uid": "1"}
    status = {"secretProviderClassName": "postgresql-kvname", "mounted": True, "objects": objects}
    report = {"metadata": {"ownerReferences": [owner]}, "status": status}
    assert found._read_versions([report], NAMES) == {"1": {"username": "new", "password": "p"}}


@pytest.mark.parametrize("file", ["username", "username/1"])
def test_a_secret_that_has_an_older_version_or_a_folder_is_a_mismatch(file: str) -> None:
    mismatch = delivery(read_class(history=2, file=file)).find_mismatch("dexterkeyvault", NAMES)
    assert type(mismatch) is Conflict
    assert (mismatch.code, mismatch.seen) == ("ProviderClassMismatch", "the Secret userpass has no key for username")


def test_what_is_remembered_of_values_can_be_compared_and_is_no_hash_that_can_be_guessed() -> None:
    (sealed,) = delivery(BOTH).seal(VALUES)
    assert sealed == delivery(BOTH).seal(VALUES)[0]
    assert not {hashlib.sha256(value.encode()).digest() for value in VALUES.values()} & set(sealed.values())
    assert not {value.encode() for value in VALUES.values()} & set(sealed.values())
