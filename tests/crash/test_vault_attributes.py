"""What the owner of a vault relies on survives rotations: content type, expiry, tags, policies, names in any case."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from infra.azure.versions import SecretVersion
from infra.errors import AccessDenied, Code, LoginRefused, Refused
from infra.rotation.attributes import Attributes
from infra.rotation.candidate import name_candidate
from infra.rotation.execution import Verdict
from infra.rotation.steps import Action
from testing.walkthrough import change
from tests.crash.faulty import IN_PLACE, assert_resumes, between, has_candidate, nothing_lost, rotate
from tests.crash.scene import Scene

OWNERS = {"owner": "shop", "phase": "production"}
DAY = timedelta(days=1)
DEMANDING = ("secrets-need-expiry", "secrets-valid-90-days", "secrets-need-content-type")


@pytest.fixture(autouse=True)
def _without_faults(scene: Scene) -> Iterator[None]:
    scene.lab.faults.clear_faults()
    yield
    scene.lab.faults.clear_faults()
    write(scene, Attributes())


def write(scene: Scene, attributes: Attributes) -> SecretVersion:
    """Write the password's value once more, with attributes."""
    vault = scene.vault(IN_PLACE)
    return vault.write("password", vault.read("password"), attributes=attributes)


def newest(scene: Scene) -> SecretVersion:
    return scene.vault(IN_PLACE).get_latest("password")


def lasts(version: SecretVersion) -> timedelta:
    assert version.attributes.expires_at is not None
    return version.attributes.expires_at - version.created_at


def is_close(length: timedelta, expected: timedelta) -> bool:
    return abs(length - expected) <= timedelta(seconds=5)


def test_content_type_expiry_and_tags_are_carried_over_forward_and_back(scene: Scene) -> None:
    base = write(scene, Attributes("text/plain; db=shop", datetime.now(UTC) + 60 * DAY, None, OWNERS))
    assert rotate(IN_PLACE).verdict is Verdict.ROTATED
    rotated = newest(scene)
    assert rotated.version != base.version
    assert rotated.attributes.content_type == "text/plain; db=shop"
    assert {name: rotated.tags[name] for name in OWNERS} == OWNERS
    assert is_close(lasts(rotated), 60 * DAY)
    with between(partial(scene.lab.faults.switch, "database-down"), Action.SET_PASSWORD, scene.lab.faults.clear_faults):
        assert rotate(IN_PLACE).verdict is Verdict.ROLLED_BACK
    restored = newest(scene)
    assert restored.tags["restores"] == rotated.version
    assert restored.attributes.content_type == "text/plain; db=shop"
    assert {name: restored.tags[name] for name in OWNERS} == OWNERS
    assert is_close(lasts(restored), 60 * DAY)


def test_a_version_without_an_expiry_is_denied_before_anything_is_staged_and_the_option_gives_one(scene: Scene) -> None:
    write(scene, Attributes("text/plain"))
    for switch in DEMANDING:
        scene.lab.faults.switch(switch)
    with nothing_lost(scene, IN_PLACE) as before:
        versions = scene.vault(IN_PLACE).list_versions("password")
        ended = rotate(IN_PLACE)
        assert (ended.verdict, ended.code) == (Verdict.REFUSED, "RequestDisallowedByPolicy")
        assert isinstance(ended.error, AccessDenied)
        assert ended.error.fix == Code.REQUEST_DISALLOWED_BY_POLICY.fix
        assert "Key Vault secrets should have an expiration date" in ended.message
        assert not has_candidate(scene, IN_PLACE)
        assert scene.vault(IN_PLACE).list_versions("password") == versions
        assert scene.newest(IN_PLACE) == before
    assert rotate(change(IN_PLACE, expires_after_days=30)).verdict is Verdict.ROTATED
    assert is_close(lasts(newest(scene)), 30 * DAY)
    assert rotate(IN_PLACE).verdict is Verdict.ROTATED, "the length is carried over"
    scene.assert_well(IN_PLACE, before)


def test_more_tags_than_fit_are_refused_before_anything_is_staged(scene: Scene) -> None:
    write(scene, Attributes(tags={f"owner-{number}": "shop" for number in range(14)}))
    with nothing_lost(scene, IN_PLACE) as before:
        ended = rotate(IN_PLACE)
        assert (ended.verdict, ended.code) == (Verdict.REFUSED, "TooManyTags")
        assert isinstance(ended.error, Refused)
        assert "14 of the 15" in ended.message
        assert not has_candidate(scene, IN_PLACE)
        assert scene.newest(IN_PLACE) == before
    write(scene, Attributes(tags={f"owner-{number}": "shop" for number in range(13)}))
    assert_resumes(scene, IN_PLACE, before)
    assert len(newest(scene).tags) == 14


def test_a_candidate_whose_purge_is_not_over_is_waited_for(scene: Scene) -> None:
    scene.lab.faults.switch("secrets-deleted-slowly")
    with nothing_lost(scene, IN_PLACE) as before:
        for _ in range(2):
            assert rotate(IN_PLACE).verdict is Verdict.ROTATED
    scene.assert_well(IN_PLACE, before)


def test_a_deleted_candidate_that_nobody_may_purge_is_written_over(scene: Scene) -> None:
    vault, name = scene.vault(IN_PLACE), name_candidate(IN_PLACE.secrets.names)
    vault.write(name, "left", {"rotation_id": "old"})
    vault.delete(name)
    scene.lab.faults.add_fault(
        host="*.vault.azure.net", path="/deletedsecrets/*", method="DELETE", status=403, body="{}"
    )
    with nothing_lost(scene, IN_PLACE) as before:
        assert rotate(IN_PLACE).verdict is Verdict.ROTATED
        assert vault.find_deleted(name)
    assert_resumes(scene, IN_PLACE, before)
    scene.lab.faults.clear_faults()
    assert rotate(IN_PLACE).verdict is Verdict.ROTATED
    assert not vault.find_deleted(name)


def test_names_of_secrets_are_compared_without_case(scene: Scene) -> None:
    upper = change(
        IN_PLACE, secrets=IN_PLACE.secrets.model_copy(update={"username": "USERNAME", "password": "Password"})
    )
    with nothing_lost(scene, IN_PLACE) as before:
        assert rotate(upper).verdict is Verdict.ROTATED
    scene.assert_well(IN_PLACE, before)


def test_a_refused_password_that_ends_with_a_line_break_is_told_so(scene: Scene) -> None:
    before = scene.newest(IN_PLACE)
    vault = scene.vault(IN_PLACE)
    vault.write("password", before.password + "\n")
    ended = rotate(IN_PLACE)
    vault.write("password", before.password)
    assert (ended.verdict, ended.code) == (Verdict.REFUSED, "28P01")
    assert isinstance(ended.error, LoginRefused)
    assert ended.error.seen == "the value of password ends with a line break"
    assert before.password not in ended.message
    assert not has_candidate(scene, IN_PLACE)
