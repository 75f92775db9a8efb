"""The candidate in the vault: the secret that holds a rotation's new login, and in its tags how far the rotation is."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from infra.azure.secrets import KeyVault
from infra.azure.versions import SecretVersion
from infra.credentials import UNTIL_NEXT_ROTATION, Credential, Login, Strategy
from infra.errors import Code, Conflict, NotFound, SecretUnusable
from infra.rotation.candidate import Staged, list_base, name_candidate, parse_candidate
from infra.rotation.observation import (
    BASE_VERSIONS,
    GRACE_UNTIL,
    PHASE,
    RESTORES,
    ROTATION_ID,
    STRATEGY,
    CandidateFacts,
    Grace,
    Phase,
)
from tasks.context import Access

CANDIDATE_TAGS = (ROTATION_ID, PHASE, STRATEGY, BASE_VERSIONS)

_GONE = "no such secret"

Candidate = tuple[SecretVersion, CandidateFacts]
"""A candidate as the vault and as the planner sees it."""


def find_candidate(vault: KeyVault, credential: Credential) -> Candidate | None:
    """Return the newest version of the candidate secret.

    Raises:
        SecretUnusable: there is one, and it does not say whose it is.
    """
    found = vault.find_latest(name_candidate(credential.secrets.names))
    return None if found is None else _parse(found, credential)


def is_candidate_absent(vault: KeyVault, credential: Credential) -> bool:
    """Tell whether this run has found no candidate, or has deleted it. Only who holds the lock writes one."""
    return vault.is_known_absent(name_candidate(credential.secrets.names))


def find_recalled(vault: KeyVault, credential: Credential) -> Candidate | None:
    """Return the candidate as this run saw, wrote or deleted it last. Only who holds the lock writes it.

    Raises:
        SecretUnusable: there is one, and it does not say whose it is.
    """
    found = vault.find_last_seen(name_candidate(credential.secrets.names))
    return None if found is None else _parse(found, credential)


def recall_candidate(vault: KeyVault, credential: Credential, rotation_id: str) -> Candidate:
    """Return the live candidate of a rotation as this run saw or wrote it last, for steps that do not read its value.

    Raises:
        Conflict: it is gone, or another rotation's.
    """
    return _check(find_recalled(vault, credential), credential, rotation_id)


def _parse(found: SecretVersion, credential: Credential) -> Candidate:
    names, tags = credential.secret_names, found.tags
    try:
        base = dict(zip(names, list_base(tags), strict=True))
        facts = CandidateFacts(
            found.version,
            tags[ROTATION_ID],
            Phase(tags[PHASE]),
            found.created_at,
            base,
            Strategy(tags[STRATEGY]),
            _parse_grace(tags.get(GRACE_UNTIL, "")),
        )
    except (KeyError, ValueError):
        raise SecretUnusable(
            Code.CANDIDATE_UNREADABLE,
            name=f"{credential.vault}/{found.name}",
            seen=f"the tags {', '.join(CANDIDATE_TAGS)} of version {found.version} are missing or do not fit",
        ) from None
    return found, facts


def get_candidate(vault: KeyVault, credential: Credential, rotation_id: str) -> Candidate:
    """Return the live candidate of a rotation.

    Raises:
        Conflict: it is gone, or another rotation's.
    """
    return _check(find_candidate(vault, credential), credential, rotation_id)


def _check(found: Candidate | None, credential: Credential, rotation_id: str) -> Candidate:
    if found and found[1].rotation_id == rotation_id and found[1].phase.is_live:
        return found
    seen = f"rotation {found[1].rotation_id}, {found[1].phase}" if found else _GONE
    name = f"{credential.vault}/{name_candidate(credential.secrets.names)}"
    raise Conflict(Code.CANDIDATE_LOST, name=name, seen=seen)


def read_candidate(vault: KeyVault, candidate: SecretVersion) -> Login:
    """Read the candidate's new login."""
    return _read_staged(vault, candidate).new


def _read_staged(vault: KeyVault, candidate: SecretVersion) -> Staged:
    with _candidate_needed(vault, candidate):
        return parse_candidate(vault.read(candidate.name, candidate.version), f"{vault.name}/{candidate.name}")


@contextmanager
def _candidate_needed(vault: KeyVault, candidate: SecretVersion) -> Iterator[None]:
    """Say that a rotation's candidate is lost where a block does not find it."""
    try:
        yield
    except NotFound as error:
        if error.code != "SecretNotFound":
            raise
        raise Conflict(Code.CANDIDATE_LOST, name=f"{vault.name}/{candidate.name}", seen=_GONE) from None


def read_both(access: Access, rotation_id: str) -> tuple[Login, Login]:
    """Read the candidate, and the login that was current before it.

    Raises:
        Conflict: the candidate is gone.
        SecretUnusable: it does not have the previous login, and a previous version is disabled.
    """
    candidate, facts = recall_candidate(access.vault, access.credential, rotation_id)
    staged = _read_staged(access.vault, candidate)
    return staged.new, staged.previous or access.read_login(facts.base)


def read_restorable(access: Access, rotation_id: str) -> tuple[Login, Login]:
    """Read the candidate, and the previous login from the versions that a rollback restores.

    Raises:
        Conflict: the candidate is gone.
        SecretUnusable: a previous version is disabled, so nothing may be set back to it.
    """
    candidate, facts = get_candidate(access.vault, access.credential, rotation_id)
    return read_candidate(access.vault, candidate), access.read_login(facts.base)


def recall_values(access: Access, rotation_id: str) -> tuple[dict[str, str], dict[str, str]]:
    """Read what the newest versions hold: secret -> value, and secret -> version.

    Secrets that hold nothing but a login cost one request together: the candidate has both logins, and the versions
    that this run saw or wrote last say which of the two each of them holds.

    Raises:
        Conflict: the candidate is gone.
    """
    credential, latest = access.credential, recall_newest(access)
    _, facts = recall_candidate(access.vault, credential, rotation_id)
    has_new = {name: _has_new_login(found, facts) for name, found in latest.items()}
    if credential.derived or not credential.secrets.is_login_alone or None in has_new.values():
        return access.read_newest_with_versions()
    new, previous = map(credential.secrets.render, read_both(access, rotation_id))
    values = {name: (new if is_new else previous)[name] for name, is_new in has_new.items()}
    return values, {name: found.version for name, found in latest.items()}


def recall_newest(access: Access) -> dict[str, SecretVersion]:
    """Return secret -> newest version as this run saw or wrote it last."""
    vault = access.vault
    return {name: vault.find_last_seen(name) or vault.get_latest(name) for name in access.credential.secret_names}


def _has_new_login(found: SecretVersion, facts: CandidateFacts) -> bool | None:
    """Return whether a version has the candidate's login, or the one before it; None if somebody else wrote it."""
    if found.version == facts.base[found.name]:
        return False
    return RESTORES not in found.tags if found.tags.get(ROTATION_ID) == facts.rotation_id else None


def set_phase(vault: KeyVault, candidate: SecretVersion, phase: Phase, **tags: str) -> None:
    """Note at the candidate how far its rotation is, and other tags.

    Raises:
        Conflict: it is gone.
    """
    with _candidate_needed(vault, candidate):
        vault.set_tags(candidate.name, candidate.version, {**candidate.tags, **tags, PHASE: phase.value})


def begin_grace(vault: KeyVault, candidate: SecretVersion, period: timedelta | None) -> Grace:
    """Note at the candidate until when the previous login works on.

    Args:
        vault: where it is.
        candidate: the proven candidate.
        period: how long from now; None: until the next rotation.
    """
    until = datetime.now(UTC) + period if period is not None else None
    text = until.isoformat(timespec="seconds") if until else UNTIL_NEXT_ROTATION
    set_phase(vault, candidate, Phase.GRACE, **{GRACE_UNTIL: text})
    return Grace(until, is_over=False)


def _parse_grace(text: str) -> Grace | None:
    if not text:
        return None
    until = None if text == UNTIL_NEXT_ROTATION else datetime.fromisoformat(text)
    return Grace(until, until is not None and until <= datetime.now(UTC))
