"""Derived secrets: rendered from the login by a template, and published, restored and retired with it."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError
from rotation_facts import HEALTHY, OPTIONS, PUBLISHED, subjects, version, with_candidate

from infra.credentials import ConnectionString, Credential, DerivedSecret, Login, Part, Strategy
from infra.credentials.texts import ConnectionFormat
from infra.errors import Code
from infra.postgres.addresses import Address
from infra.rotation.candidate import list_base, tag_base
from infra.rotation.observation import Phase, SecretFacts
from infra.rotation.plan import Plan, PlanStatus, make_plan
from infra.rotation.steps import Action
from tasks.preflight.vault import find_differing
from testing.walkthrough import DEXTER, change

TEXTS = some.text(some.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=30)
LOGINS = some.builds(Login, TEXTS, TEXTS)
URL, NAME = (
    DerivedSecret(secret="url", template="postgresql://{username:uri}:{password:uri}@{host}:{port}/{database}"),
    DerivedSecret(secret="name", template="{username}"),
)
STRINGS = {
    ConnectionFormat.URI: "postgresql://{username:uri}:{password:uri}@{host}:{port}/{database}",
    ConnectionFormat.JDBC: "jdbc:postgresql://{host}:{port}/{database}?user={username:uri}&password={password:uri}",
    ConnectionFormat.KEYWORDS: "host={host} port={port} user={username:keyword} password={password:keyword}",
    ConnectionFormat.ADO: "Host={host};Port={port};Username={username:ado};Password={password:ado}",
}


@pytest.mark.parametrize("written_as", ConnectionFormat)
@given(login=LOGINS)
def test_a_driver_reads_from_a_derived_connection_string_the_login_that_it_is_made_of(
    written_as: ConnectionFormat, login: Login
) -> None:
    derived = DerivedSecret(secret="url", template=STRINGS[written_as])
    text = derived.render(login, "db.example", 6432, "orders")
    assert ConnectionString(secret="url", format=written_as).parse({"url": text}) == login
    assert "db.example" in text
    assert "6432" in text


@given(login=LOGINS)
def test_json_and_base64_hold_the_login_that_they_are_made_of(login: Login) -> None:
    template = '{{"auth": "{password:base64}", "user": "{username:json}", "password": "{password:json}"}}'
    read = json.loads(DerivedSecret(secret="db", template=template).render(login, "db", 5432, "postgres"))
    assert (read["user"], read["password"]) == (login.username, login.password)
    assert base64.b64decode(read["auth"]).decode() == login.password


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{user}", r"there is no \{user\}: write it with \{username\}, \{password\}, \{host\}, \{port\}, \{database\}"),
        ("{password:url}", r"\{password\} is not written as 'url', but as raw, uri, json, keyword, ado, base64"),
        ("{password!r}", r"\{password\} is not written as 'r'"),
        ("{password.__class__}", "there is no"),
        ("{0}", "there is no"),
        ("{username", "cannot be used"),
        ("postgresql://{host}/{database}", "no rotation would change it"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused_and_names_what_is_unknown(template: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        DerivedSecret(secret="url", template=template)


@pytest.mark.parametrize("name", ["Password", "url"])
def test_a_derived_secret_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(ValidationError, match="two secrets have the same name"):
        change(DEXTER, derived=[URL, {"secret": name, "template": "{password}"}])


def test_derived_secrets_are_published_before_the_password_and_only_if_they_change() -> None:
    credential = change(DEXTER, derived=[URL, NAME])
    assert credential.secret_names == ("url", "name", "username", "password")
    assert credential.secrets_of([Part.PASSWORD]) == ("url", "password")
    assert credential.secrets_of(tuple(Part)) == credential.secret_names
    assert change(DEXTER, secrets=ConnectionString(secret="s"), strategy="in-place").needs_pins is False
    assert change(credential, secrets=ConnectionString(secret="s"), strategy="in-place").needs_pins is True


def plan(credential: Credential, **changes: object) -> Plan:
    """Plan a rotation of a healthy credential with a URL and a name made of its login."""
    added = (SecretFacts("url", version("s1")), SecretFacts("name", version("n1")))
    consumer = replace(HEALTHY.consumers[0], uses=frozenset({"url"}))
    seen = replace(HEALTHY, secrets=(*added, *HEALTHY.secrets), consumers=(consumer,), alternates=1)
    return make_plan(credential, OPTIONS, replace(seen, **changes), "r1")  # type: ignore[arg-type]


def test_a_new_password_publishes_and_retires_what_is_made_of_it() -> None:
    made = plan(change(DEXTER, derived=[URL, NAME], strategy=Strategy.IN_PLACE))
    assert made.refusal is None
    assert subjects(made, Action.PUBLISH) == subjects(made, Action.RETIRE) == ["url", "password"]


def test_a_new_login_publishes_all_and_a_rollback_restores_all() -> None:
    credential = change(DEXTER, derived=[URL, NAME], strategy=Strategy.ALTERNATING)
    names = ["url", "name", "username", "password"]
    assert subjects(plan(credential), Action.PUBLISH) == names
    base = {"url": "s1", "name": "n1", "username": "u1", "password": "p1"}
    back = with_candidate(HEALTHY, strategy=Strategy.ALTERNATING, phase=Phase.ROLLING_BACK, base=base).candidate
    added = (
        SecretFacts("url", version("s2", 6, rotation_id="r1"), (version("s1"),)),
        SecretFacts("name", version("n2", 6, rotation_id="r1"), (version("n1"),)),
    )
    made = plan(credential, candidate=back, secrets=(*added, *PUBLISHED.secrets))
    assert made.is_rolling_back
    assert subjects(made, Action.RESTORE) == names


def test_a_rotation_that_left_a_derived_secret_as_it_was_has_ended() -> None:
    published = (SecretFacts("url", version("s2", 6, rotation_id="r1")), SecretFacts("name", version("n1")))
    credential = change(DEXTER, derived=[URL, NAME], strategy=Strategy.IN_PLACE)
    made = plan(credential, secrets=(*published, HEALTHY.secrets[0], PUBLISHED.secrets[1]))
    assert (made.status, made.refusal) == (PlanStatus.DONE, None)


@given(some.lists(some.from_regex(r"[0-9a-f]{32}", fullmatch=True), min_size=1, max_size=30))
def test_the_base_versions_of_many_secrets_fit_into_tags_and_are_read_again(versions: list[str]) -> None:
    tags = tag_base(versions)
    assert list_base(tags) == versions
    assert all(len(text) <= 256 for text in tags.values())
    assert len(tags) <= 10


def test_a_derived_secret_of_which_more_than_the_login_would_change_is_a_warning_without_its_value() -> None:
    credential = change(DEXTER, derived=[URL, NAME])
    current, address = Login("dexter", "secret"), Address("10.0.0.4")
    values = {"url": "postgresql://dexter:secret@10.0.0.4:5432/postgres", "name": "dexter"}
    assert list(find_differing(credential, current, address, values)) == []
    (finding,) = find_differing(credential, current, address, {**values, "url": f"{values['url']}?sslmode=require"})
    assert (finding.error.code, finding.error.name) == (Code.DERIVED_DIFFERS, "dexterkeyvault/url")
    assert not finding.is_blocking
    assert "secret@" not in str(finding)
