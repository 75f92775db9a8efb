"""What the vaults tell of a fleet without any value: one listing a vault, whatever its credentials."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from infra.azure.secrets import KeyVault
from infra.azure.versions import SecretVersion
from infra.credentials import UNTIL_NEXT_ROTATION, Credential, Part
from infra.errors import KeyturnError, NotFound, as_own_error
from infra.fleet.schedule import Facts
from infra.rotation.candidate import name_candidate
from infra.rotation.observation import GRACE_UNTIL, PHASE, RESTORES, ROTATION_ID, Phase, SecretFacts, Version
from tasks.context import connections_shared, opened_azure
from tasks.retries import task_with_retries


@dataclass
class Scan:
    """What was found.

    Args:
        facts: credential -> its facts.
        errors: credential -> why nothing is known of it.
    """

    facts: dict[str, Facts] = field(default_factory=dict)
    errors: dict[str, KeyturnError] = field(default_factory=dict)


def scan(credentials: Iterable[Credential]) -> Scan:
    """Look at all vaults of some credentials side by side. One that cannot be read keeps no other from being read."""
    by_vault = defaultdict[str, list[Credential]](list)
    for credential in credentials:
        by_vault[credential.vault.lower()].append(credential)
    whole = Scan()
    with connections_shared():
        futures = {vault: scan_vault.submit(vault, listed) for vault, listed in by_vault.items()}
        for vault, future in futures.items():
            found = future.result(raise_on_failure=False)
            if isinstance(found, Scan):
                whole.facts |= found.facts
                whole.errors |= found.errors
            else:
                error = as_own_error(found, vault)
                whole.errors |= {credential.name: error for credential in by_vault[vault]}
    return whole


@task_with_retries(name="Scan a vault", run_name="{vault}: list the newest versions")
def scan_vault(vault: str, credentials: Sequence[Credential]) -> Scan:
    """Return what a vault tells of its credentials.

    Raises:
        AccessDenied, AuthenticationFailed, NotFound, ServiceFailed: the vault cannot be listed.
    """
    found = Scan()
    with opened_azure() as azure:
        secrets = azure.vault(vault)
        newest = {version.name.lower(): version for version in secrets.list_newest()}
        for credential in credentials:
            try:
                found.facts[credential.name] = read_facts(credential, newest, secrets)
            except KeyturnError as error:
                found.errors[credential.name] = error
    return found


def read_facts(credential: Credential, newest: Mapping[str, SecretVersion], vault: KeyVault) -> Facts:
    """Return what the newest versions tell of a credential.

    Args:
        credential: the credential.
        newest: the newest version of every secret, by its name in lower case.
        vault: asked for older versions if a rollback wrote the newest one.

    Raises:
        NotFound: one of its secrets does not exist.
    """
    versions = [_get(newest, credential, name) for name in credential.secrets.names]
    password = _get(newest, credential, credential.secrets.secrets_of({Part.PASSWORD})[-1])
    candidate = newest.get(name_candidate(credential.secrets.names).lower())
    expiries = [version.attributes.expires_at for version in versions if version.attributes.expires_at]
    facts = Facts(_find_age(password, vault), min(expiries, default=None))
    if candidate is None or not _phase(candidate).is_live:
        return facts
    until = candidate.tags.get(GRACE_UNTIL, "")
    return Facts(
        facts.created_at,
        facts.expires_at,
        unfinished=candidate.tags.get(ROTATION_ID, ""),
        changed_at=max(candidate.updated_at, *(version.updated_at for version in versions)),
        is_grace=_phase(candidate) is Phase.GRACE,
        grace_until=datetime.fromisoformat(until) if until not in ("", UNTIL_NEXT_ROTATION) else None,
    )


def _get(newest: Mapping[str, SecretVersion], credential: Credential, name: str) -> SecretVersion:
    if found := newest.get(name.lower()):
        return found
    fix = "Provision the vault, write the secret, or correct the credential"
    where = f"{credential.vault}/{name}"
    raise NotFound("The secret does not exist", name=where, fix=fix, code="SecretNotFound")


def _find_age(password: SecretVersion, vault: KeyVault) -> datetime:
    """Return when a password was first written: a rollback writes an older one again."""
    if RESTORES not in password.tags:
        return password.created_at
    versions = [
        Version.of(version.version, version.enabled, version.created_at, version.tags)
        for version in vault.list_versions(password.name)
    ]
    return SecretFacts(password.name, versions[0], tuple(versions[1:])).value_created_at


def _phase(candidate: SecretVersion) -> Phase:
    """Return how far the rotation of a candidate is; one that says nothing is nobody's."""
    try:
        return Phase(candidate.tags.get(PHASE, ""))
    except ValueError:
        return Phase.DONE
