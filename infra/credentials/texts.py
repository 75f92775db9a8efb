"""Texts that hold a login among other things, JSON and connection strings: where it stands, how it is written there.

    text = "postgresql://orders:old@db/orders"
    places = find_in_connection_string(text)
    places.password.value                                   # -> "old"
    replace_places(text, [(places.password, "n/w")])        # -> "postgresql://orders:n%2Fw@db/orders"

All else stays byte for byte. What cannot be read raises a ValueError that says why, without a value.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote, unquote_plus


@dataclass(frozen=True, repr=False)
class Place:
    """Where a value stands in a text, and how another one is written there."""

    start: int
    end: int
    value: str
    write: Callable[[str], str]


def replace_places(text: str, wanted: list[tuple[Place, str]]) -> str:
    """Write other values in their places; a value that stays is left as it is written."""
    for place, value in sorted(wanted, key=lambda pair: pair[0].start, reverse=True):
        if value != place.value:
            text = text[: place.start] + place.write(value) + text[place.end :]
    return text


_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
"""What JSON can write and no password has: NUL, and half of a surrogate pair, which nothing can encode."""


def find_in_json(text: str, field: str) -> Place:
    """Return where a field of a JSON object has its value, which is a text.

    Raises:
        ValueError: it is no JSON object, or does not have the field once as a text that is not empty.
    """
    try:
        fields = [(start, end, value) for name, start, end, value in _list_fields(text) if name == field]
    except (ValueError, RecursionError):
        raise ValueError("it is not a JSON object") from None
    if len(fields) != 1:
        raise ValueError(f"it has the field {field} {'twice' if fields else 'not'}")
    start, end, value = fields[0]
    if not isinstance(value, str) or not value or _NO_TEXT.search(value):
        raise ValueError(f"its field {field} is not a text, or empty")
    return Place(start, end, value, json.dumps)


def _list_fields(text: str) -> Iterator[tuple[str, int, int, Any]]:
    """List the fields of a JSON object: name, where the value begins and ends, and the value."""
    if not isinstance(json.loads(text), dict):
        raise ValueError
    position, decoder = _skip(text, text.index("{") + 1), json.JSONDecoder()
    while text[position] != "}":
        name, colon = decoder.raw_decode(text, position)
        start = _skip(text, _skip(text, colon) + 1)
        value, end = decoder.raw_decode(text, start)
        yield name, start, end, value
        position = _skip(text, end)
        position = _skip(text, position + 1) if text[position] == "," else position


def _skip(text: str, position: int) -> int:
    """Skip JSON's white space."""
    while text[position] in " \t\r\n":
        position += 1
    return position


class ConnectionFormat(StrEnum):
    """The ways to write a connection string.

    uri: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    keywords: the same page, 34.1.1.1. jdbc: https://jdbc.postgresql.org/documentation/use/
    ado: https://learn.microsoft.com/dotnet/api/system.data.common.dbconnectionstringbuilder
    """

    URI = "uri"
    KEYWORDS = "keywords"
    JDBC = "jdbc"
    ADO = "ado"


_USERNAMES = {"user", "username", "userid", "uid"}
_PASSWORDS = {"password", "pwd", "psw"}
"""What ADO.NET and Npgsql call them; the case of letters and white space do not count."""
_QUERY_PARTS = {"user": "username", "password": "password"}
"""What libpq and JDBC call them."""
_URI = re.compile(r"postgres(?:ql)?(?:\+\w+)?://")
"""With the driver's name too, as SQLAlchemy writes it."""
_JDBC = "jdbc:postgresql:"
_SAFE = re.compile(r"[-.~\w]+", re.ASCII)
_KEYWORD = re.compile(
    r"\s*(?P<key>[^\s=]+)\s*=\s*(?P<value>'(?:[^'\\]|\\.)*'|(?!')(?:[^\s\\]|\\.)+|\Z)\s*", re.ASCII | re.DOTALL
)
_ADO = re.compile(
    r"""[\s;]*(?P<key>(?:[^=\s\x00-\x1f]|\s+[^=\s\x00-\x1f]|\s+==|==)+)\s*=(?!=)\s*
    (?P<value>"(?:[^"\x00]|"")*"|'(?:[^'\x00]|'')*'|(?!["'\s])(?:[^;\s\x00-\x1f]|\s+[^;\s\x00-\x1f])*(?<!["']))
    \s*(?:;|\Z)[\s;]*""",
    re.VERBOSE,
)


@dataclass(frozen=True, repr=False)
class LoginPlaces:
    """Where a connection string has its login."""

    username: Place
    password: Place


def find_in_connection_string(text: str, written_as: ConnectionFormat | None = None) -> LoginPlaces:
    """Find the login in a connection string.

    Args:
        text: the connection string.
        written_as: how it is written; None: find out.

    Raises:
        ValueError: it has no username or no password, one of them twice, or cannot be read.
    """
    if written_as is not None:
        return _pick(_FINDERS[written_as](text))
    if text.startswith(_JDBC):
        return _pick(_find_in_jdbc(text))
    if _URI.match(text):
        return _pick(_find_in_uri(text))
    return _detect(text)


def _detect(text: str) -> LoginPlaces:
    """Read it in each way that has no beginning of its own; one alone must find a login in it."""
    readable = list[LoginPlaces]()
    for find in (_find_in_keywords, _find_in_ado):
        try:
            readable.append(_pick(find(text)))
        except ValueError:
            continue
    if len(readable) > 1:
        raise ValueError("it can be read as keywords and as ado: give its format")
    if not readable:
        raise ValueError("it is no connection string with one username and one password")
    return readable[0]


def _pick(found: Iterator[tuple[str, Place]]) -> LoginPlaces:
    by_part = dict[str, Place]()
    for part, place in found:
        if part in by_part:
            raise ValueError(f"it has the {part} twice")
        by_part[part] = place
    if missing := [part for part in ("username", "password") if not (part in by_part and by_part[part].value)]:
        raise ValueError(f"it has no {missing[0]}")
    return LoginPlaces(by_part["username"], by_part["password"])


def _find_in_uri(text: str) -> Iterator[tuple[str, Place]]:
    if not (beginning := _URI.match(text)):
        raise ValueError("it does not begin with postgresql://")
    start = beginning.end()
    end = start + len(re.split("[/?#]", text[start:], maxsplit=1)[0])
    user_info, at, hosts = text[start:end].partition("@")
    if "@" in hosts:
        raise ValueError("an @ of its login is not written as %40")
    username, colon, _ = user_info.partition(":")
    if at and username:
        yield "username", _encoded(text, start, start + len(username), unquote)
    if at and colon:
        yield "password", _encoded(text, start + len(username) + 1, start + len(user_info), unquote)
    yield from _find_in_query(text, text.find("?", end), unquote)


def _find_in_jdbc(text: str) -> Iterator[tuple[str, Place]]:
    """Its driver reads a query alone, in which a plus stands for a space."""
    if not text.startswith(_JDBC):
        raise ValueError(f"it does not begin with {_JDBC}")
    return _find_in_query(text, text.find("?"), unquote_plus)


def _find_in_query(text: str, mark: int, decode: Callable[[str], str]) -> Iterator[tuple[str, Place]]:
    position = mark + 1
    for parameter in text[position:].split("&") if mark >= 0 else ():
        key, equals, _ = parameter.partition("=")
        part = _QUERY_PARTS.get(decode(key))
        if part and equals:
            yield part, _encoded(text, position + len(key) + 1, position + len(parameter), decode)
        position += len(parameter) + 1


def _encoded(text: str, start: int, end: int, decode: Callable[..., str]) -> Place:
    try:
        value = decode(text[start:end], errors="strict")
    except UnicodeDecodeError:
        raise ValueError("its login is not UTF-8 once the percent signs are decoded") from None
    return Place(start, end, value, lambda value: quote(value, safe=""))


def _find_in_keywords(text: str) -> Iterator[tuple[str, Place]]:
    for pair in _match_pairs(_KEYWORD, text):
        part = _QUERY_PARTS.get(pair["key"])
        raw, start, end = pair["value"], *pair.span("value")
        is_quoted = raw.startswith("'")
        if part:
            value = re.sub(r"\\(.)", r"\1", raw[1:-1] if is_quoted else raw, flags=re.DOTALL)
            yield part, Place(start, end, value, _write_quoted if is_quoted else write_keyword)


def write_keyword(value: str) -> str:
    """Write a value of a libpq keyword, in quotes if it needs them."""
    return value if _SAFE.fullmatch(value) else _write_quoted(value)


def _write_quoted(value: str) -> str:
    escaped = re.sub(r"(['\\])", r"\\\1", value)
    return f"'{escaped}'"


def _find_in_ado(text: str) -> Iterator[tuple[str, Place]]:
    for pair in _match_pairs(_ADO, text):
        key = re.sub(r"\s", "", pair["key"]).lower()
        part = "username" if key in _USERNAMES else "password" if key in _PASSWORDS else ""
        raw, start, end = pair["value"], *pair.span("value")
        if part:
            mark = raw[:1] if raw[:1] in ("'", '"') else ""
            value = raw[1:-1].replace(mark * 2, mark) if mark else raw
            yield part, Place(start, end, value, write_ado)


def write_ado(value: str) -> str:
    """Write a value of an ADO.NET keyword, in quotes if it needs them; a quote within is doubled."""
    if _SAFE.fullmatch(value):
        return value
    mark = "'" if '"' in value and "'" not in value else '"'
    return mark + value.replace(mark, mark * 2) + mark


def _match_pairs(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(text):
        if not (pair := pattern.match(text, position)):
            raise ValueError("it cannot be read as key=value throughout")
        yield pair
        position = pair.end()


_FINDERS: dict[ConnectionFormat, Callable[[str], Iterator[tuple[str, Place]]]] = {
    ConnectionFormat.URI: _find_in_uri,
    ConnectionFormat.KEYWORDS: _find_in_keywords,
    ConnectionFormat.JDBC: _find_in_jdbc,
    ConnectionFormat.ADO: _find_in_ado,
}
