"""New passwords and usernames, and the candidate that stages them."""

import random
import re
import shlex
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra.credentials import Login
from infra.errors import InvalidInput, SecretUnusable
from infra.rotation.candidate import dump_candidate, name_candidate, parse_candidate
from infra.rotation.new_logins import check_username, derive_username, generate_password


@given(seed=st.integers(), length=st.integers(16, 64))
def test_a_password_means_the_same_in_a_url_a_shell_yaml_and_sql(seed: int, length: int) -> None:
    password = generate_password(length, random.Random(seed).choice)  # noqa: S311
    assert len(password) == length
    assert quote(password, safe="") == password
    assert shlex.quote(password) == password
    assert yaml.safe_load(password) == password
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]+", password)


@given(seed=st.integers())
def test_a_password_has_three_kinds_of_characters(seed: int) -> None:
    password = generate_password(choose=random.Random(seed).choice)  # noqa: S311
    assert len(password) == 32
    assert re.search("[a-z]", password)
    assert re.search("[A-Z]", password)
    assert re.search("[0-9]", password)


def test_two_passwords_differ() -> None:
    assert generate_password() != generate_password()


def test_a_short_password_is_not_generated() -> None:
    with pytest.raises(ValueError, match="16"):
        generate_password(15)


def test_two_usernames_take_turns() -> None:
    names = ["dexter"]
    for _ in range(3):
        names.append(derive_username(names[-1]))
    assert names == ["dexter", "dexter_b", "dexter_a", "dexter_b"]


@given(st.from_regex(r"[a-z_][a-z0-9_]{0,62}", fullmatch=True))
def test_a_derived_username_differs_and_is_not_cut_by_postgresql(current: str) -> None:
    derived = derive_username(current)
    assert derived != current
    assert len(derived) <= 63
    assert derive_username(derive_username(derived)) == derived


def test_a_username_that_postgresql_reserves_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_username("pg_dexter")
    assert caught.value.code == "42939"
    assert check_username("dexter") == "dexter"


def test_the_candidate_is_named_after_both_secrets() -> None:
    assert name_candidate(("username", "password")) == "username-password-candidate"


def test_long_names_give_different_candidates_that_key_vault_accepts() -> None:
    names = [name_candidate(("u" * 127, last * 127)) for last in "pq"]
    assert names[0] != names[1]
    assert all(re.fullmatch(r"[0-9a-zA-Z-]{1,127}", name) for name in names)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_candidate_is_read_as_it_was_written(username: str, password: str) -> None:
    login = Login(username, password)
    assert parse_candidate(dump_candidate(login), "c") == login


UNREADABLE = ["", "Admin123", "[]", "null", '{"username": "a"}', '{"username": 1, "password": "x"}']


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_candidate_that_no_rotation_wrote_is_refused_without_showing_its_value(text: str) -> None:
    with pytest.raises(SecretUnusable) as caught:
        parse_candidate(text, "username-password-candidate")
    assert caught.value.code == "CandidateUnreadable"
    assert "Admin123" not in str(caught.value)


def test_a_login_does_not_show_its_values() -> None:
    shown = f"{Login('therema', 'Mashroof123')!r} {Login('therema', 'Mashroof123')}"
    assert "Mashroof123" not in shown
    assert "therema" not in shown
