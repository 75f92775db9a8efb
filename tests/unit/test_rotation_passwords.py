"""New passwords and usernames, and the candidate that stages them."""

import random
import re
import shlex
import string
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.credentials import (
    CharacterSet,
    ConnectionString,
    Credential,
    JsonSecret,
    Layout,
    Login,
    PasswordRule,
)
from infra.credentials.texts import ConnectionFormat
from infra.errors import InvalidInput, SecretUnusable
from infra.rotation.candidate import Staged, dump_candidate, name_candidate, parse_candidate
from infra.rotation.new_logins import check_username, choose_login, derive_username, generate_password
from testing.walkthrough import DEXTER, SERVER, change


@given(seed=st.integers(), length=st.integers(16, 128))
def test_a_password_means_the_same_in_a_url_a_shell_yaml_and_sql(seed: int, length: int) -> None:
    password = generate_password(PasswordRule(length=length), random.Random(seed).choice)  # noqa: S311
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


def test_a_password_that_lacks_a_demanded_set_is_made_anew() -> None:
    picks = iter("a" * 15 + "B" + "a" * 14 + "B7")
    assert generate_password(PasswordRule(length=16), lambda _: next(picks)) == "a" * 14 + "B7"


def test_two_passwords_differ() -> None:
    assert generate_password() != generate_password()


SETS = st.lists(st.sampled_from(CharacterSet), min_size=1, unique=True).filter(lambda sets: sets != ["digits"])
SYMBOLS = st.lists(st.sampled_from(string.punctuation), max_size=32, unique=True).map("".join)
RULES = st.builds(PasswordRule, length=st.integers(16, 128), sets=SETS.map(tuple), symbols=SYMBOLS)


@given(rule=RULES, seed=st.integers())
def test_a_password_keeps_its_rule_and_has_one_of_each_demanded_set(rule: PasswordRule, seed: int) -> None:
    password = generate_password(rule, random.Random(seed).choice)  # noqa: S311
    assert len(password) == rule.length
    assert password[0] in string.ascii_letters
    assert set(password) <= set(rule.alphabet)
    assert all(set(demanded) & set(password) for demanded in rule.demanded)
    kinds = (str.islower, str.isupper, str.isdigit, lambda character: not character.isalnum())
    assert sum(any(map(kind, password)) for kind in kinds) == len(rule.sets) + bool(rule.symbols)


@given(rule=RULES, seed=st.integers())
def test_a_password_of_any_rule_survives_every_layout_and_filter(rule: PasswordRule, seed: int) -> None:
    login = Login("dexter", generate_password(rule, random.Random(seed).choice))  # noqa: S311
    for layout, before in WRITTEN:
        written = layout.render(login, {"db": before})
        assert layout.parse(written) == login


WRITTEN: list[tuple[Layout, str]] = [
    (JsonSecret(secret="db"), '{"username": "dexter", "password": "old"}'),
    (ConnectionString(secret="db", format=ConnectionFormat.URI), "postgresql://dexter:old@db/x"),
    (ConnectionString(secret="db", format=ConnectionFormat.JDBC), "jdbc:postgresql://db/x?user=dexter&password=old"),
    (ConnectionString(secret="db", format=ConnectionFormat.KEYWORDS), "user=dexter password=old host=db"),
    (ConnectionString(secret="db", format=ConnectionFormat.ADO), "Username=dexter;Password=old;Host=db"),
]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"length": 15}, "greater than or equal to 16"),
        ({"length": 129}, "less than or equal to 128"),
        ({"sets": ["digits"]}, "begins with a letter"),
        ({"sets": ["lower", "lower"]}, "name each once"),
        ({"sets": ["letters"]}, "'lower', 'upper' or 'digits'"),
        ({"symbols": "!!"}, "name each once"),
        ({"symbols": "a"}, "should match pattern"),
        ({"symbols": " "}, "should match pattern"),
    ],
)
def test_a_rule_that_makes_no_good_password_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        PasswordRule.model_validate(fields)


@pytest.mark.parametrize(
    ("credential", "fields", "why"),
    [
        (SERVER, {"password": {"sets": ["lower", "digits"]}}, "characters of three kinds"),
        (DEXTER, {"username_suffixes": ["_b", "x_b"]}, "ends with the other"),
        (DEXTER, {"username_suffixes": ["_a", "_a"]}, "ends with the other"),
        (DEXTER, {"username_suffixes": ["", "_b"]}, "should match pattern"),
        (SERVER, {"username_suffixes": ["_x", "_y"]}, "changes the username"),
        (
            DEXTER,
            {"password": {"symbols": "@"}, "derived": [{"secret": "url", "template": "postgresql://x:{password}@db"}]},
            "the template of url does not say how",
        ),
    ],
)
def test_a_rule_that_does_not_fit_the_credential_is_refused_with_the_reason(
    credential: Credential, fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        change(credential, **fields)


@pytest.mark.parametrize("template", ["{password}", "x:{password:uri}", "x:{password:raw}"])
def test_a_template_that_says_how_the_password_is_written_fits_every_rule(template: str) -> None:
    (derived,) = change(DEXTER, password={"symbols": "@%"}, derived=[{"secret": "url", "template": template}]).derived
    assert derived.template == template


def test_three_kinds_are_enough_for_azure_whichever_they_are() -> None:
    assert change(SERVER, password={"sets": ["lower", "digits"], "symbols": "-"}).password.demanded[-1] == "-"


def test_the_suffixes_of_the_credential_take_turns() -> None:
    names = ["dexter"]
    for _ in range(3):
        names.append(derive_username(names[-1], ("_blue", "_green")))
    assert names == ["dexter", "dexter_green", "dexter_blue", "dexter_green"]
    assert choose_login("dexter", ["dexter"], suffixes=("_blue", "_green")) == "dexter_green"
    assert choose_login("dexter", ["dexter", "old_b"], suffixes=("_blue", "_green")) == "old_b"
    assert len(derive_username("d" * 63, ("_blue", "_green"))) == 63


def test_two_usernames_take_turns() -> None:
    names = ["dexter"]
    for _ in range(3):
        names.append(derive_username(names[-1]))
    assert names == ["dexter", "dexter_b", "dexter_a", "dexter_b"]


@pytest.mark.parametrize("current", ["dexter", "SHOPXXXX", "b", "_"])
def test_a_username_without_a_suffix_is_kept_whole_before_its_first_one(current: str) -> None:
    assert derive_username(current) == f"{current}_b"


@given(st.from_regex(r"[a-z_][a-z0-9_]{0,62}", fullmatch=True))
def test_a_derived_username_differs_and_is_not_cut_by_postgresql(current: str) -> None:
    derived = derive_username(current)
    assert derived != current
    assert len(derived) <= 63
    assert derive_username(derive_username(derived)) == derived


def test_a_username_that_postgresql_reserves_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_username("pg_dexter")
    assert (caught.value.code, caught.value.name) == ("42939", "new_username")
    assert check_username("dexter") == "dexter"


def test_the_candidate_is_named_after_both_secrets() -> None:
    assert name_candidate(("username", "password")) == "username-password-candidate"


def test_long_names_give_different_candidates_that_key_vault_accepts() -> None:
    names = [name_candidate(("u" * 127, last * 127)) for last in "pq"]
    assert names[0] != names[1]
    assert all(re.fullmatch(r"[0-9a-zA-Z-]{1,127}", name) for name in names)


LOGINS = st.builds(Login, st.text(min_size=1), st.text(min_size=1))


@given(LOGINS, st.none() | LOGINS)
def test_a_candidate_is_read_as_it_was_written(new: Login, previous: Login | None) -> None:
    staged = Staged(new, previous)
    assert parse_candidate(dump_candidate(staged), "c") == staged


UNREADABLE = [
    *("", "Admin123", "[]", "null", '{"username": "a"}', '{"username": 1, "password": "x"}'),
    *(f'{{"username": "a", "password": "b", "previous": {previous}}}' for previous in ("null", '{"username": "c"}')),
]


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
