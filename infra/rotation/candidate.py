"""The candidate: the new login before it is published, and the one that it takes the place of, in one secret.

One write stages all of it. The previous login is there too so that a step has both by one request, whatever the layout.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.credentials import Login
from infra.errors import Code, SecretUnusable
from infra.rotation.observation import BASE_VERSIONS

MAXIMUM_NAME_LENGTH = 127
_VERSIONS_IN_TAG = 7
"""A version has 32 characters, and Key Vault allows a tag 256."""


def name_candidate(secrets: Sequence[str]) -> str:
    """Name the vault's secret that stages new values for these: `username-password-candidate`.

    A name that would be longer than Key Vault allows is cut and made unique by a hash.
    """
    name = f"{'-'.join(secrets)}-candidate"
    if len(name) <= MAXIMUM_NAME_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: MAXIMUM_NAME_LENGTH - 23]}-{digest}-candidate"


def tag_base(versions: Sequence[str]) -> dict[str, str]:
    """Return the tags that keep the versions which were current when the candidate was staged: as many as they need."""
    return {
        f"{BASE_VERSIONS}_{start // _VERSIONS_IN_TAG + 1}" if start else BASE_VERSIONS: ",".join(
            versions[start : start + _VERSIONS_IN_TAG]
        )
        for start in range(0, len(versions), _VERSIONS_IN_TAG)
    }


def list_base(tags: Mapping[str, str]) -> list[str]:
    """Return the versions that `tag_base` wrote.

    Raises:
        KeyError: there are none.
    """
    found, number = tags[BASE_VERSIONS].split(","), 2
    while more := tags.get(f"{BASE_VERSIONS}_{number}"):
        found, number = [*found, *more.split(",")], number + 1
    return found


@dataclass(frozen=True)
class Staged:
    """The logins of a candidate.

    Args:
        new: the new login.
        previous: the one before it; None if an edition staged it that did not keep it there.
    """

    new: Login
    previous: Login | None = None


def dump_candidate(staged: Staged) -> str:
    """Return the value of the candidate secret."""
    previous = {} if staged.previous is None else {"previous": _dump(staged.previous)}
    return json.dumps({**_dump(staged.new), **previous})


def _dump(login: Login) -> dict[str, str]:
    return {"username": login.username, "password": login.password}


def parse_candidate(text: str, name: str) -> Staged:
    """Return the logins that the value of a candidate secret holds.

    Args:
        text: the secret's value.
        name: the secret's name, for the error.

    Raises:
        SecretUnusable: the value is not what `dump_candidate` writes.
    """
    try:
        fields = json.loads(text)
        return Staged(_parse(fields), _parse(fields["previous"]) if "previous" in fields else None)
    except (ValueError, KeyError, TypeError):
        raise _unusable(name) from None


def _parse(fields: Mapping[str, object]) -> Login:
    username, password = fields["username"], fields["password"]
    if not (isinstance(username, str) and isinstance(password, str) and username and password):
        raise ValueError
    return Login(username, password)


def _unusable(name: str) -> SecretUnusable:
    return SecretUnusable(
        Code.CANDIDATE_UNREADABLE, name=name, seen="its value is not a JSON object with username and password"
    )
