"""Versions that are pinned in a SecretProviderClass: what its parameter becomes, and what it was again afterwards."""

import yaml

from infra.kubernetes.deliveries.provider_classes import parse_objects, pin_objects, unpin_objects

BEFORE = """array:
  - |
    objectName: username
    objectType: secret
    objectVersion: ""
  - |
    objectName: password
    objectType: secret
    objectAlias: pw
  - |
    objectName: other
    objectType: secret
    objectVersion: abc
"""
VERSIONS = {"username": "1" * 32, "password": "2" * 32}


def versions(objects: str) -> dict[str, str]:
    return {entry["objectName"]: entry.get("objectVersion", "") for entry in parse_objects(objects)}


def test_the_named_objects_get_their_versions_and_others_keep_theirs() -> None:
    assert versions(pin_objects(BEFORE, VERSIONS)) == {**VERSIONS, "other": "abc"}


def test_names_are_compared_without_case_as_the_vault_does() -> None:
    pinned = pin_objects(BEFORE, {name.upper(): version for name, version in VERSIONS.items()})
    assert versions(pinned) == {**VERSIONS, "other": "abc"}
    upper = BEFORE.replace("objectName: password", "objectName: PASSWORD")
    assert versions(pin_objects(upper, VERSIONS))["PASSWORD"] == "2" * 32
    assert unpin_objects(pin_objects(upper, VERSIONS), upper) == upper


def test_everything_else_of_an_object_stays() -> None:
    pinned = parse_objects(pin_objects(BEFORE, VERSIONS))
    assert [entry.get("objectAlias") for entry in pinned] == [None, "pw", None]
    assert {entry["objectType"] for entry in pinned} == {"secret"}


def test_a_version_of_digits_alone_stays_text() -> None:
    assert parse_objects(pin_objects(BEFORE, VERSIONS))[0]["objectVersion"] == "1" * 32


def test_what_is_unpinned_is_byte_for_byte_what_was_there() -> None:
    assert unpin_objects(pin_objects(BEFORE, VERSIONS), BEFORE) == BEFORE


def test_what_somebody_changed_meanwhile_is_kept() -> None:
    pinned = parse_objects(pin_objects(BEFORE, VERSIONS))
    theirs = yaml.safe_dump({"array": [yaml.safe_dump(entry) for entry in [*pinned, {"objectName": "added"}]]})
    unpinned = unpin_objects(theirs, BEFORE)
    assert versions(unpinned) == {"username": "", "password": "", "other": "abc", "added": ""}
