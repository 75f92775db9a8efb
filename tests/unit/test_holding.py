"""A class that is held at versions and released: what is written into its parameter, and what comes back."""

import yaml

from infra.kubernetes.holding import pin, unpin
from infra.kubernetes.provider_classes import parse_objects

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
    return {one["objectName"]: one.get("objectVersion", "") for one in parse_objects(objects)}


def test_the_named_objects_get_their_versions_and_others_keep_theirs() -> None:
    assert versions(pin(BEFORE, VERSIONS)) == {**VERSIONS, "other": "abc"}


def test_everything_else_of_an_object_stays() -> None:
    held = parse_objects(pin(BEFORE, VERSIONS))
    assert [one.get("objectAlias") for one in held] == [None, "pw", None]
    assert {one["objectType"] for one in held} == {"secret"}


def test_a_version_of_digits_alone_stays_text() -> None:
    assert parse_objects(pin(BEFORE, VERSIONS))[0]["objectVersion"] == "1" * 32


def test_what_is_released_is_byte_for_byte_what_was_there() -> None:
    assert unpin(pin(BEFORE, VERSIONS), BEFORE) == BEFORE


def test_what_somebody_changed_meanwhile_is_kept() -> None:
    held = parse_objects(pin(BEFORE, VERSIONS))
    theirs = yaml.safe_dump({"array": [yaml.safe_dump(one) for one in [*held, {"objectName": "added"}]]})
    released = unpin(theirs, BEFORE)
    assert versions(released) == {"username": "", "password": "", "other": "abc", "added": ""}
