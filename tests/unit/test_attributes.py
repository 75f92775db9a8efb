"""What a new version has from the one before: content type, expiry, and its owner's tags."""

from datetime import UTC, datetime, timedelta

import pytest

from infra.rotation.attributes import Attributes, carry_over, stage_like
from infra.rotation.observation import Version

CREATED, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
SECOND = NOW.replace(microsecond=0)
OWNERS = {"owner": "shop", "phase": "production", "file-encoding": "utf-8"}
BASE = Attributes("text/plain; db=shop", CREATED + timedelta(days=90), None, OWNERS)


def test_content_type_and_the_owners_tags_stay_and_the_expiry_moves_on_by_the_same_length() -> None:
    carried = carry_over(BASE, CREATED, {"rotation_id": "r2"}, NOW)
    assert carried.content_type == BASE.content_type
    assert carried.expires_at == SECOND + timedelta(days=90)
    assert carried.tags == {**OWNERS, "rotation_id": "r2"}


def test_tags_of_an_earlier_rotation_are_not_carried_over() -> None:
    tags = {**OWNERS, "rotation_id": "r1", "restores": "abc"}
    carried = carry_over(Attributes(tags=tags), CREATED, {"rotation_id": "r2"}, NOW)
    assert carried.tags == {**OWNERS, "rotation_id": "r2"}


@pytest.mark.parametrize("base", [BASE, Attributes()], ids=["with an expiry", "without one"])
def test_a_length_that_the_credential_gives_counts_for_every_version(base: Attributes) -> None:
    assert carry_over(base, CREATED, {}, NOW, timedelta(days=30)).expires_at == SECOND + timedelta(days=30)


@pytest.mark.parametrize("expires_at", [None, CREATED, CREATED - timedelta(days=1)])
def test_a_version_that_has_no_length_gives_none(expires_at: datetime | None) -> None:
    assert carry_over(Attributes(expires_at=expires_at), CREATED, {}, NOW).expires_at is None


@pytest.mark.parametrize("days", [-30, 30])
def test_a_version_is_active_when_it_is_live(days: int) -> None:
    base = Attributes(not_before=NOW + timedelta(days=days))
    assert carry_over(base, CREATED, {}, NOW).not_before == SECOND
    assert carry_over(Attributes(), CREATED, {}, NOW).not_before is None


def test_a_candidate_lasts_as_long_as_the_longest_of_the_versions_that_will_be_written() -> None:
    short, long = Attributes("user", NOW), Attributes("text/plain", NOW + timedelta(days=1), tags=OWNERS)
    expected = Attributes("text/plain", long.expires_at, None, {"phase": "staged"})
    assert stage_like([short, long], {"phase": "staged"}) == expected
    assert stage_like([long, short], {}).expires_at == long.expires_at


@pytest.mark.parametrize("without", [0, 1])
def test_a_candidate_lacks_what_one_of_the_versions_will_lack(without: int) -> None:
    """So a policy that would deny that version denies the candidate, before anything is changed."""
    written = [Attributes("text/plain", NOW), Attributes("text/plain", NOW)]
    written[without] = Attributes()
    assert stage_like(written, {}) == Attributes()


def test_the_tags_that_no_rotation_wrote_are_counted_as_the_owners() -> None:
    tags = {"rotation_id": "r1", "restores": "v0", "team": "shop", "cost": "7"}
    made = Version.of("v1", True, datetime(2026, 1, 1, tzinfo=UTC), tags)
    assert (made.rotation_id, made.restores, made.owner_tags) == ("r1", "v0", 2)
    assert (made.version, made.enabled, made.created_at) == ("v1", True, datetime(2026, 1, 1, tzinfo=UTC))
