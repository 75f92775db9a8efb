"""Reading of the credential's values, for tasks that need them: they live as long as the call that reads them."""

from infra.azure.secrets import Secrets, SecretVersion
from infra.errors import Conflict, KeyturnError, SecretUnusable
from infra.kubernetes.client import Cluster
from infra.kubernetes.provider_classes import ProviderClass, get_provider_class
from infra.rotation.candidate import Credential, name_candidate, parse_candidate
from infra.rotation.observation import BASE_PASSWORD, BASE_USERNAME, PHASE, ROTATION_ID, STRATEGY, CandidateFacts, Phase
from infra.targets import Consumer, Strategy, Target

CANDIDATE_TAGS = (ROTATION_ID, PHASE, STRATEGY, BASE_USERNAME, BASE_PASSWORD)


def candidate_name(target: Target) -> str:
    """Return the name of the secret that stages the target's candidate."""
    return name_candidate(target.username_secret, target.password_secret)


def find_candidate(vault: Secrets, target: Target) -> tuple[SecretVersion, CandidateFacts] | None:
    """Return the newest version of the candidate secret, as the vault and as the planner sees it.

    Raises:
        SecretUnusable: there is one, and it does not say whose it is.
    """
    found = vault.find_latest(candidate_name(target))
    if found is None:
        return None
    tags = found.tags
    try:
        facts = CandidateFacts(
            found.version,
            tags[ROTATION_ID],
            Phase(tags[PHASE]),
            found.created_at,
            tags[BASE_USERNAME],
            tags[BASE_PASSWORD],
            Strategy(tags[STRATEGY]),
        )
    except (KeyError, ValueError):
        raise SecretUnusable(
            "The candidate secret was not written by a rotation",
            name=f"{target.vault}/{found.name}",
            seen=f"version {found.version} lacks the tags {', '.join(CANDIDATE_TAGS)}",
            fix="delete the secret if nobody needs it, and run again",
            code="CandidateUnreadable",
        ) from None
    return found, facts


def get_candidate(vault: Secrets, target: Target, rotation_id: str) -> tuple[SecretVersion, CandidateFacts]:
    """Return the live candidate of a rotation.

    Raises:
        Conflict: it is gone, or another rotation's.
    """
    found = find_candidate(vault, target)
    if found and found[1].rotation_id == rotation_id and found[1].phase.is_live:
        return found
    raise Conflict(
        "The candidate of the rotation is gone",
        name=f"{target.vault}/{candidate_name(target)}",
        seen=f"rotation {found[1].rotation_id}, {found[1].phase}" if found else "no such secret",
        fix="see who deleted or replaced it; run again",
        code="CandidateLost",
    )


def read_candidate(vault: Secrets, candidate: SecretVersion) -> Credential:
    """Read the candidate's values."""
    return parse_candidate(vault.read(candidate.name, candidate.version), f"{vault.vault}/{candidate.name}")


def read_newest(vault: Secrets, target: Target) -> Credential:
    """Read the values that are in force in the vault."""
    return Credential(vault.read(target.username_secret), vault.read(target.password_secret))


def read_base(vault: Secrets, target: Target, candidate: CandidateFacts) -> Credential:
    """Read the values that were in force when the candidate was staged.

    Raises:
        SecretUnusable: one of their versions is disabled.
    """
    return Credential(
        vault.read(target.username_secret, candidate.base_username),
        vault.read(target.password_secret, candidate.base_password),
    )


def values_by_secret(target: Target, credential: Credential) -> dict[str, str]:
    """Return secret name -> value."""
    return {target.username_secret: credential.username, target.password_secret: credential.password}


def used_secrets(target: Target, provider: ProviderClass) -> frozenset[str]:
    """Return which of the credential's secrets a SecretProviderClass brings."""
    return frozenset(provider.files.values()) & {target.username_secret, target.password_secret}


def synced_values(
    target: Target, consumer: Consumer, provider: ProviderClass, credential: Credential
) -> dict[str, str]:
    """Return key -> value of what the consumer's synced Secret must hold of the credential."""
    values = values_by_secret(target, credential)
    keys = provider.synced[consumer.synced_secret]
    return {key: values[name] for key, name in keys.items() if name in values}


def read_synced_values(vault: Secrets, cluster: Cluster, target: Target, consumer: Consumer) -> dict[str, str]:
    """Return key -> value of what the consumer's synced Secret must hold of the newest versions."""
    provider = get_provider_class(cluster, consumer.namespace, consumer.secret_provider_class)
    return synced_values(target, consumer, provider, read_newest(vault, target))


def find_mismatch(target: Target, consumer: Consumer, provider: ProviderClass) -> KeyturnError | None:
    """Say what keeps a SecretProviderClass from bringing the target's secrets to a consumer.

    The database needs both secrets. A client may use one of them; its Secret must have what its class mounts.
    """
    names, used = {target.username_secret, target.password_secret}, used_secrets(target, provider)
    needed = names if consumer.is_database else used or names
    keys = provider.synced.get(consumer.synced_secret, {})
    seen = ""
    if provider.vault.lower() != target.vault.lower():
        seen = f"it reads the vault '{provider.vault}'"
    elif (pinned := sorted(provider.pinned & used)) and not provider.held_for:
        seen = f"it pins a version of {', '.join(pinned)} (objectVersion), so its pods never get a newer one"
    elif missing := sorted(needed - used):
        seen = f"it does not mount {', '.join(missing)}"
    elif missing := sorted(needed - set(keys.values())):
        seen = f"the Secret {consumer.synced_secret} has no key for {', '.join(missing)}"
    if not seen:
        return None
    return Conflict(
        "The SecretProviderClass does not fit the target",
        name=f"{consumer.secret_provider_class} in {consumer.namespace}",
        seen=seen,
        fix="correct the class or the target; after the class, restart its pods",
        code="ProviderClassMismatch",
    )
