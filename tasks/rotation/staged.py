"""The candidate in the vault: the secret that holds a rotation's new login, and in its tags how far the rotation is."""

from infra.azure.secrets import KeyVault, SecretVersion
from infra.credentials import Credential, Login, Strategy
from infra.errors import Code, Conflict, SecretUnusable
from infra.rotation.candidate import name_candidate, parse_candidate
from infra.rotation.observation import BASE_VERSIONS, PHASE, ROTATION_ID, STRATEGY, CandidateFacts, Phase
from tasks.context import Access

CANDIDATE_TAGS = (ROTATION_ID, PHASE, STRATEGY, BASE_VERSIONS)

Candidate = tuple[SecretVersion, CandidateFacts]
"""A candidate as the vault and as the planner sees it."""


def find_candidate(vault: KeyVault, credential: Credential) -> Candidate | None:
    """Return the newest version of the candidate secret.

    Raises:
        SecretUnusable: there is one, and it does not say whose it is.
    """
    names = credential.secrets.names
    found = vault.find_latest(name_candidate(names))
    if found is None:
        return None
    tags = found.tags
    try:
        base = dict(zip(names, tags[BASE_VERSIONS].split(","), strict=True))
        facts = CandidateFacts(
            found.version, tags[ROTATION_ID], Phase(tags[PHASE]), found.created_at, base, Strategy(tags[STRATEGY])
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
    found = find_candidate(vault, credential)
    if found and found[1].rotation_id == rotation_id and found[1].phase.is_live:
        return found
    raise Conflict(
        Code.CANDIDATE_LOST,
        name=f"{credential.vault}/{name_candidate(credential.secrets.names)}",
        seen=f"rotation {found[1].rotation_id}, {found[1].phase}" if found else "no such secret",
    )


def read_candidate(vault: KeyVault, candidate: SecretVersion) -> Login:
    """Read the candidate's login."""
    return parse_candidate(vault.read(candidate.name, candidate.version), f"{vault.name}/{candidate.name}")


def read_base(vault: KeyVault, credential: Credential, candidate: CandidateFacts) -> Login:
    """Read the login that was current when the candidate was staged.

    Raises:
        SecretUnusable: one of its versions is disabled.
    """
    return credential.secrets.parse({name: vault.read(name, version) for name, version in candidate.base.items()})


def read_both(access: Access, rotation_id: str) -> tuple[Login, Login]:
    """Read the candidate, and the login that was current before it.

    Raises:
        Conflict: the candidate is gone.
        SecretUnusable: a previous version is disabled.
    """
    candidate, facts = get_candidate(access.vault, access.credential, rotation_id)
    return read_candidate(access.vault, candidate), read_base(access.vault, access.credential, facts)


def set_phase(vault: KeyVault, candidate: SecretVersion, phase: Phase) -> None:
    """Note at the candidate how far its rotation is."""
    vault.set_tags(candidate.name, candidate.version, {**candidate.tags, PHASE: phase.value})
