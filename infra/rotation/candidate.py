"""The candidate: the new credential while it is not published. One secret, so that one write stages all of it."""

import hashlib
import json
from dataclasses import dataclass

from infra.errors import SecretUnusable

MAXIMUM_NAME_LENGTH = 127


@dataclass(frozen=True, repr=False)
class Credential:
    """A login with its values. Lives inside one task; its repr shows neither."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credential(...)"


def name_candidate(username_secret: str, password_secret: str) -> str:
    """Name the vault's secret that stages the successor of these two: `username-password-candidate`.

    Names that would be longer than Key Vault allows are cut and told apart by a hash.
    """
    name = f"{username_secret}-{password_secret}-candidate"
    if len(name) <= MAXIMUM_NAME_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: MAXIMUM_NAME_LENGTH - 23]}-{digest}-candidate"


def dump_candidate(credential: Credential) -> str:
    """Write a credential as the text of the candidate secret."""
    return json.dumps({"username": credential.username, "password": credential.password})


def parse_candidate(text: str, name: str) -> Credential:
    """Read a credential from the text of the candidate secret.

    Args:
        text: the secret's value.
        name: the secret's name, for the error.

    Raises:
        SecretUnusable: when the text is not what `dump_candidate` writes.
    """
    try:
        fields = json.loads(text)
        username, password = fields["username"], fields["password"]
    except (ValueError, KeyError, TypeError):
        raise _unusable(name) from None
    if not (isinstance(username, str) and isinstance(password, str) and username and password):
        raise _unusable(name)
    return Credential(username, password)


def _unusable(name: str) -> SecretUnusable:
    return SecretUnusable(
        "The staged candidate cannot be read",
        name=name,
        seen="its value is not a JSON object with username and password",
        fix="Somebody else wrote it. If no rotation is under way, delete the secret and run again; "
        "else set its enabled former version's value again.",
        code="CandidateUnreadable",
    )
