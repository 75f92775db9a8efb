"""Secret layouts: whatever the login, it is read again as it was written, and all else in a secret stays as it is."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from psycopg.conninfo import conninfo_to_dict
from pydantic import TypeAdapter, ValidationError

from infra.credentials import (
    ConnectionString,
    Encoding,
    JsonSecret,
    Layout,
    Login,
    Part,
    PasswordAlone,
    SecretLayout,
    SecretPair,
)
from infra.credentials.texts import ConnectionFormat, Place, find_in_connection_string, replace_places
from infra.errors import Code, Conflict, SecretUnusable
from infra.kubernetes.deliveries import DeliveryFacts, SecretState
from tasks.rotation.observe import check_encodings
from testing.walkthrough import DATABASE, DEXTER, SERVER, change

TEXTS = some.text(some.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=30)
LOGINS = some.builds(Login, TEXTS, TEXTS)
JSON, STRING = JsonSecret(secret="db"), ConnectionString(secret="db")
URI, JDBC, KEYWORDS, ADO = ConnectionFormat.URI, ConnectionFormat.JDBC, ConnectionFormat.KEYWORDS, ConnectionFormat.ADO
STRINGS = [
    (URI, "postgresql://{}:{}@db.example:6432/orders?sslmode=require&application_name=a%20b"),
    (URI, "postgres://{}:{}@[::1]:5432,b:5433/orders"),
    (URI, "postgresql+asyncpg://{}:{}@db/orders"),
    (URI, "postgresql://db/orders?user={}&sslmode=require&password={}"),
    (JDBC, "jdbc:postgresql://a:5432,b:5432/orders?user={}&password={}&ssl=true&targetServerType=primary"),
    (KEYWORDS, r"host=db  port = 5432 user={} password={} options='-c a=\'b\'' dbname=orders"),
    (KEYWORDS, "user='{}' password='{}' host=db\n"),
    (ADO, "Host=db;Username={};Password={};Ssl Mode=Require;Search Path='a;b';"),
    (ADO, "Server=db; User ID = {} ;PWD={} ; Database=orders"),
]
"""Connection strings without their login."""


@pytest.mark.parametrize(("written_as", "text"), STRINGS)
@given(login=LOGINS)
def test_a_login_in_a_connection_string_is_replaced_and_all_else_stays_byte_for_byte(
    written_as: ConnectionFormat, text: str, login: Login
) -> None:
    before = {"db": text.format("orders", "old")}
    assert STRING.parse(before) == Login("orders", "old")
    assert STRING.render(Login("orders", "old"), before) == before
    written = STRING.render(login, before)
    known = ConnectionString(secret="db", format=written_as)
    assert known.parse(written) == login
    places = find_in_connection_string(written["db"], written_as)
    blank = replace_places(written["db"], [(blanked(places.username), "{}"), (blanked(places.password), "{}")])
    assert blank.replace("'{}'", "{}") == text.replace("'{}'", "{}")


def blanked(place: Place) -> Place:
    """Return a place that is written as it is given."""
    return Place(place.start, place.end, "", str)


@pytest.mark.parametrize("text", [text for kind, text in STRINGS if kind in (URI, KEYWORDS) and "+" not in text])
@given(login=LOGINS)
def test_libpq_reads_the_new_login_and_all_else_as_before(text: str, login: Login) -> None:
    text = text.format("orders", "old")
    before = conninfo_to_dict(text)
    text = STRING.render(login, {"db": text})["db"]
    assert conninfo_to_dict(text) == {**before, "user": login.username, "password": login.password}


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("postgresql://o%40x:p%25%2F@db", Login("o@x", "p%/")),
        ("postgresql://o:a+b@db", Login("o", "a+b")),
        ("jdbc:postgresql://db/x?password=a+b%2B&user=o", Login("o", "a b+")),
        (r"user=o password='it\'s \\' host=db", Login("o", "it's \\")),
        (r"password=a\ b user = o", Login("o", "a b")),
        ('Username=o;Password="a;""b"""', Login("o", 'a;"b"')),
        ("UID=o;Psw='it''s' ;Host=db", Login("o", "it's")),
        ("User Name=o;Password=a b= c;Host=db", Login("o", "a b= c")),
    ],
)
def test_a_connection_string_is_read_as_its_drivers_read_it(text: str, login: Login) -> None:
    assert STRING.parse({"db": text}) == login


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no connection string"),
        ("old", "no connection string"),
        ("postgresql://db/orders", "no username"),
        ("postgresql://orders@db/orders", "no password"),
        ("postgresql://orders:se@cret@db/orders", "@ of its login is not written as %40"),
        ("postgresql://orders:%ff@db/orders", "not UTF-8"),
        ("postgresql://orders:secret@db?password=other", "the password twice"),
        ("jdbc:postgresql://orders:secret@db/orders", "no username"),
        ("Host=db;Username=orders;Password=secret;Pwd=other", "no connection string"),
        ("user=orders password='secret", "no connection string"),
    ],
)
def test_a_text_without_one_login_is_refused_by_its_reason_and_without_a_value(text: str, why: str) -> None:
    with pytest.raises(SecretUnusable, match=why) as caught:
        STRING.parse({"db": text})
    assert (caught.value.code, caught.value.name) == (Code.LAYOUT_MISMATCH, "db")
    assert "secret" not in caught.value.seen


def test_a_given_format_is_the_one_that_is_read() -> None:
    with pytest.raises(SecretUnusable, match="does not begin with jdbc:postgresql:"):
        ConnectionString(secret="db", format=ConnectionFormat.JDBC).parse({"db": "postgresql://orders:old@db/orders"})


OBJECTS = some.dictionaries(TEXTS.filter(lambda name: name not in ("username", "password")), some.integers() | TEXTS)


@given(login=LOGINS, others=OBJECTS, indent=some.none() | some.integers(0, 4), is_last=some.booleans())
def test_a_login_in_json_is_replaced_and_the_other_fields_stay_byte_for_byte(
    login: Login, others: dict[str, Any], indent: int | None, is_last: bool
) -> None:
    own = {"username": "USER", "password": "PASS"}
    fields = {**others, **own} if is_last else {**own, **others}
    text = json.dumps(fields, indent=indent, ensure_ascii=is_last) + "\n"
    written = JSON.render(login, {"db": text})
    assert JSON.parse(written) == login
    assert json.loads(written["db"]) == {**fields, "username": login.username, "password": login.password}
    assert JSON.render(Login("USER", "PASS"), written) == {"db": text}


def test_numbers_escapes_and_nested_objects_in_json_stay_as_they_are_written() -> None:
    text = '{"port":5432.00, "é":"\\u00e9" ,"nested":{"password":"inner"},\n"password" : "old","username":"o"}'
    assert JSON.render(Login("o", 'n"w'), {"db": text}) == {"db": text.replace('"old"', '"n\\"w"')}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("secret", "not a JSON object"),
        ('["secret"]', "not a JSON object"),
        ('{"username": "o"}', "has the field password not"),
        (r'{"username": "o", "password": "secret\ud800"}', "field password is not a text"),
        (r'{"username": "o", "password": "secret\u0000"}', "field password is not a text"),
        ('{"username": "o", "password": 12}', "field password is not a text"),
        ('{"username": "o", "password": ""}', "field password is not a text, or empty"),
        ('{"username": "o", "password": "secret", "password": "secret"}', "has the field password twice"),
    ],
)
def test_json_without_the_login_is_refused_by_its_field(text: str, why: str) -> None:
    with pytest.raises(SecretUnusable, match=why) as caught:
        JSON.parse({"db": text})
    assert caught.value.code == Code.LAYOUT_MISMATCH
    assert "secret" not in caught.value.seen


def test_white_space_counts_in_a_field_of_json_and_not_after_the_object() -> None:
    assert JSON.find_oddity({"db": '{"username": "o", "password": "x"}\n'}) == ""
    odd = '{"username": "o", "password": "x\\n"}'
    assert JSON.find_oddity({"db": odd}) == "the value of password in db ends with a line break"


def test_a_username_of_the_inventory_is_the_login_s_and_is_never_written() -> None:
    alone = PasswordAlone(username="orders", password="pw")
    fixed = JsonSecret(secret="db", username="orders", password_field="pw")
    assert alone.parse({"pw": "x"}) == fixed.parse({"db": '{"pw": "x"}'}) == Login("orders", "x")
    assert alone.render(Login("orders", "y"), {"pw": "x"}) == {"pw": "y"}
    assert fixed.render(Login("orders", "y"), {"db": '{"pw": "x"}'}) == {"db": '{"pw": "y"}'}
    assert alone.secrets_of([Part.USERNAME]) == fixed.secrets_of([Part.USERNAME]) == ()


@pytest.mark.parametrize(
    "layout", [PasswordAlone(username="o", password="db"), JSON, STRING], ids=lambda each: each.kind
)
def test_a_layout_of_one_secret_publishes_it_for_a_new_password_and_for_a_new_login(layout: Layout) -> None:
    assert layout.names == layout.secrets_of([Part.PASSWORD]) == layout.secrets_of(tuple(Part)) == ("db",)


def test_secrets_without_a_kind_are_a_pair() -> None:
    read = TypeAdapter(SecretLayout).validate_python({"username": "u", "password": "p"})
    assert read == SecretPair(username="u", password="p")


@pytest.mark.parametrize(
    ("strategy", "secrets", "why"),
    [
        ("alternating", {"kind": "password", "username": "o", "password": "p"}, "alternating changes the username"),
        ("alternating", {"kind": "json", "secret": "s", "username": "o"}, "alternating changes the username"),
        ("recreate", {"kind": "password", "username": "o", "password": "p"}, "recreate initialises the database from"),
        ("recreate", {"kind": "json", "secret": "s"}, "recreate initialises the database from two secrets"),
        ("recreate", {"kind": "connection-string", "secret": "s"}, "recreate initialises the database from"),
        ("in-place", {"kind": "jsn", "secret": "s"}, "one of pair, password, json and connection-string"),
        ("in-place", {"kind": "json", "secret": "s", "username": "o", "username_field": "u"}, "exclude each other"),
        ("in-place", {"kind": "json", "secret": "s", "password_field": "username"}, "have the same field"),
    ],
)
def test_a_layout_that_does_not_fit_its_strategy_is_refused_with_the_reason(
    strategy: str, secrets: dict[str, str], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        change(DEXTER, strategy=strategy, secrets=secrets)


@pytest.mark.parametrize(
    "secrets",
    [
        {"kind": "password", "username": "o", "password": "p"},
        {"kind": "json", "secret": "s", "username": "o"},
        {"kind": "json", "secret": "s"},
        {"kind": "connection-string", "secret": "s", "format": "jdbc"},
    ],
    ids=lambda secrets: "-".join(secrets),
)
def test_every_layout_fits_the_strategies_that_keep_the_username(secrets: dict[str, str]) -> None:
    for credential, strategy in ((DEXTER, "in-place"), (SERVER, "managed")):
        assert change(credential, strategy=strategy, secrets=secrets).secret_names in (("p",), ("s",))


@pytest.mark.parametrize("encoding", Encoding)
@given(login=LOGINS)
def test_an_encoded_secret_is_read_and_written_as_its_text(encoding: Encoding, login: Login) -> None:
    layouts: list[tuple[Layout, dict[str, str]]] = [
        (SecretPair(username="user", password="db", encodings={"db": encoding}), {"user": "o", "db": "old"}),
        (PasswordAlone(username=login.username, password="db", encodings={"db": encoding}), {"db": "old"}),
        (JsonSecret(secret="db", encodings={"db": encoding}), {"db": '{"username": "o", "password": "old"}'}),
    ]
    for layout, texts in layouts:
        written = layout.render(login, {**texts, "db": encoding.write(texts["db"])})
        assert layout.parse(written) == login
        plain = layout.model_copy(update={"encodings": {}})
        assert encoding.read(written["db"]) == plain.render(login, texts)["db"]


def test_a_value_that_is_not_encoded_as_the_credential_says_is_refused_without_it() -> None:
    for encoding in Encoding:
        layout = PasswordAlone(username="o", password="db", encodings={"db": encoding})
        for value in ("secret!", "//79", "fffe"):
            if (encoding, value) == (Encoding.BASE64, "fffe"):
                continue
            with pytest.raises(SecretUnusable, match=f"it is not the {encoding} of a text") as caught:
                layout.parse({"db": value})
            assert value not in str(caught.value)
    layout = PasswordAlone(username="o", password="db", encodings={"db": Encoding.BASE64})
    assert layout.find_oddity({"db": "c2VjcmV0Cg=="}) == "the value of db ends with a line break"


def test_encodings_of_other_secrets_are_refused() -> None:
    with pytest.raises(ValidationError, match="encodings name other, which does not hold the login"):
        PasswordAlone(username="o", password="db", encodings={"other": Encoding.BASE64})


def test_a_class_that_decodes_what_the_credential_does_not_call_encoded_is_refused_by_its_field() -> None:
    facts = DeliveryFacts(
        frozenset({"password"}), {}, SecretState.CURRENT, "", {}, decoded={"password": Encoding.BASE64}
    )
    with pytest.raises(Conflict, match="decodes password \\(objectEncoding: base64\\)") as caught:
        check_encodings(DEXTER, DATABASE, facts)
    assert caught.value.code == Code.PROVIDER_CLASS_MISMATCH
    assert "encodings: {password: base64}" in caught.value.fix
    secrets = {"username": "username", "password": "password", "encodings": {"password": "base64"}}
    check_encodings(change(DEXTER, secrets=secrets), DATABASE, facts)
    with pytest.raises(Conflict, match="objectEncoding: hex"):
        check_encodings(change(DEXTER, secrets=secrets), DATABASE, replace(facts, decoded={"password": Encoding.HEX}))


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        (STRING, "postgresql://%6frders:{}@db"),
        (STRING, 'Username="orders";Password={};Host=db'),
        (STRING, r"user=\orders password={} host=db"),
        (JSON, r'{{"username": "\u006frders", "password": "{}"}}'),
    ],
)
def test_a_username_that_stays_is_left_as_it_is_written(layout: Layout, text: str) -> None:
    written = layout.render(Login("orders", "new"), {"db": text.format("old")})
    assert written == {"db": text.format("new")}


@pytest.mark.parametrize("written_as", ConnectionFormat)
def test_a_password_with_every_mark_is_read_as_it_was_written(written_as: ConnectionFormat) -> None:
    login = Login("o'r\"d", "a'b\"c''d\"\"e;f=g\\h i%j+k@l:m/n?o#p&q\tr ")
    text = next(text for kind, text in STRINGS if kind is written_as).format("orders", "old")
    layout = ConnectionString(secret="db", format=written_as)
    assert layout.parse(layout.render(login, {"db": text})) == login
