"""What is kept where: the name, value and tags of a candidate, the marks of workloads; and what an end leaves."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from rotation_facts import PUBLISHED, T0

from infra.errors import Code, KeyturnError, SecretUnusable
from infra.rotation.attributes import Attributes, carry_over, stage_like
from infra.rotation.candidate import list_base, name_candidate, parse_candidate, tag_base
from infra.rotation.execution import Verdict
from infra.rotation.observation import Logins, LoginState, Version
from infra.rotation.preflight import Finding


def test_base_versions_are_written_seven_to_a_tag_and_read_in_their_order() -> None:
    versions = [f"v{number}" for number in range(1, 17)]
    tags = {
        "base_versions": "v1,v2,v3,v4,v5,v6,v7",
        "base_versions_2": "v8,v9,v10,v11,v12,v13,v14",
        "base_versions_3": "v15,v16",
    }
    assert tag_base(versions) == tags
    assert list_base({"phase": "staged", **tags, "base_versions_5": "v99"}) == versions


def test_a_name_is_cut_only_where_the_vault_would_refuse_it_and_then_as_long_as_it_allows() -> None:
    longest = 127 - len("-candidate")
    assert name_candidate(("u" * longest,)) == "u" * longest + "-candidate"
    cut = name_candidate(("u" * (longest + 1),))
    assert len(cut) == 127
    assert re.fullmatch("u{104}-[0-9a-f]{12}-candidate", cut)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"username": "", "password": "x"}', '{"username": 1, "password": "x"}']
)
def test_a_candidate_that_cannot_be_read_is_named_without_its_value(text: str) -> None:
    with pytest.raises(SecretUnusable) as caught:
        parse_candidate(text, "pair-candidate")
    assert (caught.value.code, caught.value.name) == (Code.CANDIDATE_UNREADABLE, "pair-candidate")
    assert caught.value.seen == "its value is not a JSON object with username and password"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("number", [1, 2, 7])
def test_base_versions_that_fit_need_one_tag(number: int) -> None:
    versions = [f"v{number}" for number in range(number)]
    assert tag_base(versions) == {"base_versions": ",".join(versions)}
    assert list_base(tag_base(versions)) == versions


def test_a_candidate_without_base_versions_is_noticed() -> None:
    with pytest.raises(KeyError):
        list_base({"base_versions_2": "v8"})


def test_a_version_that_no_rotation_wrote_says_so() -> None:
    assert Version.of("v1", True, T0, {"team": "shop"}) == Version("v1", True, T0, "", "", 1)


def test_a_candidate_has_the_content_type_of_the_password() -> None:
    written = [Attributes(content_type=kind) for kind in ("user", "database", "text/plain")]
    assert stage_like(written, {}).content_type == "text/plain"


@pytest.mark.parametrize("lasts", [timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)])
def test_a_version_that_lasted_for_a_short_time_is_replaced_by_one_that_does(lasts: timedelta) -> None:
    base = Attributes(expires_at=T0 + lasts)
    assert carry_over(base, T0, {}, T0 + timedelta(days=3)).expires_at == T0 + timedelta(days=3) + lasts


def test_a_finding_says_whether_it_blocks() -> None:
    error = KeyturnError("it is paused", name="web")
    assert str(Finding(error)) == f"blocking: {error}"
    assert str(Finding(error, is_blocking=False)) == f"warning: {error}"


def test_after_a_rotation_its_candidate_and_what_it_asked_of_logins_are_gone() -> None:
    logins = Logins(LoginState.REFUSED, LoginState.WORKS, LoginState.WORKS, oddity="a line break")
    ended = replace(PUBLISHED, logins=logins).without_candidate
    assert ended == replace(PUBLISHED, candidate=None, logins=Logins(LoginState.REFUSED, oddity="a line break"))


@pytest.mark.parametrize(("mark", "rotation_id"), [("", ""), ("r1", "r1"), ("r1.rollback", "r1")])
def test_a_mark_names_the_rotation_that_restarted_forward_or_back(mark: str, rotation_id: str) -> None:
    assert replace(PUBLISHED.consumers[0], restarted_for=mark).restarted_in == rotation_id


def test_a_run_is_good_if_it_did_what_it_was_asked_for() -> None:
    bad = {Verdict.REFUSED, Verdict.ROLLED_BACK, Verdict.SYNC_PENDING, Verdict.NEEDS_OPERATOR}
    assert {verdict for verdict in Verdict if not verdict.is_good} == bad
