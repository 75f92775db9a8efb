"""The steps of a rotation in the vault: stage, publish, restore, retire, finish. Each first looks if it is done."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from prefect.logging import get_run_logger

from infra.azure.secrets import KeyVault
from infra.azure.versions import SecretVersion
from infra.credentials import Credential, Login, Part
from infra.errors import Code, Conflict, KeyturnError, NotFound, Unverified
from infra.rotation.attributes import Attributes, carry_over, stage_like
from infra.rotation.candidate import Staged, dump_candidate, name_candidate, tag_base
from infra.rotation.new_logins import generate_password
from infra.rotation.observation import (
    PHASE,
    RESTORES,
    ROTATION_ID,
    STRATEGY,
    CandidateFacts,
    Phase,
)
from infra.rotation.steps import Action, UsernamePolicy
from infra.rotation.strategies import STRATEGIES
from tasks.context import Access
from tasks.retries import task_with_retries
from tasks.rotation.lock import confirm_lock
from tasks.rotation.logins import choose_username
from tasks.rotation.registry import StepContext, opened_for, performs
from tasks.rotation.staged import (
    find_recalled,
    get_candidate,
    read_candidate,
    recall_candidate,
    set_phase,
)


@performs(Action.STAGE)
def stage(context: StepContext) -> str:
    """Write the new login as one secret, so that from here on a crash loses no password. Returns its version.

    Its base are the versions that the preflight has proven. One that somebody writes after that is noticed as what it
    is before the candidate is published, and never taken for the previous login unproven.

    Raises:
        InvalidInput: the username asked for cannot be used.
        Conflict: another rotation's candidate is there.
        AccessDenied: a policy denies what the candidate has, which it would deny to the new versions, too.
    """
    credential, layout = context.credential, context.credential.secrets
    with opened_for(context) as access:
        vault = access.vault
        found = find_recalled(vault, credential)
        if found and found[1].phase.is_live:
            return get_candidate(vault, credential, context.rotation_id)[0].version
        base = {secret: vault.find_last_seen(secret) or vault.get_latest(secret) for secret in credential.secret_names}
        current = layout.parse({secret: vault.read(secret, base[secret].version) for secret in layout.names})
        new = Login(choose_username(context, access, current), generate_password(credential.password))
        tags = {
            ROTATION_ID: context.rotation_id,
            STRATEGY: credential.strategy.value,
            PHASE: Phase.STAGED.value,
            **tag_base([found.version for found in base.values()]),
        }
        written = [_carry_over(credential, base[secret], {}) for secret in _list_written(credential)]
        confirm_lock(access.cluster, credential, context.rotation_id)
        return _write_candidate(vault, credential, dump_candidate(Staged(new, current)), stage_like(written, tags))


def _list_written(credential: Credential) -> tuple[str, ...]:
    """Return the secrets that a rotation of the credential writes."""
    keeps = STRATEGIES[credential.strategy].username is UsernamePolicy.KEEP
    return credential.secrets_of((Part.PASSWORD,) if keeps else tuple(Part))


def _carry_over(credential: Credential, base: SecretVersion, tags: Mapping[str, str]) -> Attributes:
    days = credential.expires_after_days
    lasts = None if days is None else timedelta(days=days)
    return carry_over(base.attributes, base.created_at, tags, datetime.now(UTC), lasts)


def _write_candidate(vault: KeyVault, credential: Credential, value: str, attributes: Attributes) -> str:
    """Write the candidate, also where an earlier one was deleted and still holds the name."""
    name = name_candidate(credential.secrets.names)
    try:
        return vault.write(name, value, attributes=attributes).version
    except Conflict as error:
        if error.code != "ObjectIsDeletedButRecoverable":
            raise
    _free_name(vault, name)
    return vault.write(name, value, attributes=attributes).version


def _free_name(vault: KeyVault, name: str) -> None:
    """Purge an earlier, deleted candidate; where nobody may purge, recover it to write over it."""
    try:
        vault.purge(name)
    except KeyturnError as error:
        get_run_logger().info("the earlier candidate cannot be purged (%s): it is written over", error.code)
        _recover(vault, name)


def _recover(vault: KeyVault, name: str) -> None:
    """Recover a deleted secret, unless somebody else has just purged or recovered it."""
    try:
        vault.recover(name)
    except (NotFound, Conflict) as error:
        get_run_logger().info("nor can it be recovered (%s)", error.code)


@performs(Action.PUBLISH)
def publish(context: StepContext) -> str:
    """Make the candidate's value the newest version of one secret. Returns that version.

    Raises:
        Conflict: somebody else wrote a version since the candidate was staged; it is not overwritten.
    """
    secret = str(context.subject)
    with opened_for(context) as access:
        candidate, facts = get_candidate(access.vault, context.credential, context.rotation_id)
        newest = access.vault.get_latest(secret)
        if newest.tags.get(ROTATION_ID) == context.rotation_id and RESTORES not in newest.tags:
            return newest.version
        _check_base(context, newest, facts)
        value = _render(access, secret, read_candidate(access.vault, candidate), newest.version)
        return _write(access, context, value, newest, {ROTATION_ID: context.rotation_id})


def _render(access: Access, secret: str, login: Login, base: str) -> str:
    """Return the value of a secret for a login; what is not the login's stays as it is in the version before."""
    if derived := access.credential.find_derived(secret):
        address = access.clients_address
        return derived.render(login, address.host, address.port, address.database)
    return access.credential.secrets.render(login, {secret: access.vault.read(secret, base)})[secret]


@performs(Action.RESTORE)
def restore(context: StepContext) -> str:
    """Make the previous value the newest version again. Returns that version.

    Raises:
        SecretUnusable: the previous version is disabled.
        Conflict: somebody else wrote a version meanwhile; it is not overwritten.
    """
    secret = str(context.subject)
    with opened_for(context) as access:
        _, facts = get_candidate(access.vault, context.credential, context.rotation_id)
        newest, base = access.vault.get_latest(secret), facts.base[secret]
        is_ours = newest.tags.get(ROTATION_ID) == context.rotation_id
        if newest.version == base or (is_ours and RESTORES in newest.tags):
            return newest.version
        if not is_ours:
            _check_base(context, newest, facts)
        previous, replaced = access.vault.read(secret, base), access.vault.get_version(secret, base)
        return _write(access, context, previous, replaced, {ROTATION_ID: context.rotation_id, RESTORES: base})


def _write(access: Access, context: StepContext, value: str, base: SecretVersion, tags: dict[str, str]) -> str:
    """Write a value as a new version, with what the version has that it takes the place of."""
    secret = str(context.subject)
    attributes = _carry_over(context.credential, base, tags)
    confirm_lock(access.cluster, context.credential, context.rotation_id)
    written = access.vault.write(secret, value, attributes=attributes)
    get_run_logger().info("%s/%s has the new version %s", access.vault.name, secret, written.version)
    return written.version


def _check_base(context: StepContext, newest: SecretVersion, facts: CandidateFacts) -> None:
    if newest.version != facts.base[newest.name]:
        raise Conflict(
            Code.NEWER_VERSION,
            name=f"{context.credential.vault}/{newest.name}",
            seen=f"version {newest.version} of {newest.created_at:%Y-%m-%d %H:%M:%S} UTC; it is not overwritten",
        )


@performs(Action.RETIRE)
def retire(context: StepContext) -> list[str]:
    """Disable every version but the newest and those to keep before it. Returns the versions that were disabled.

    Raises:
        Unverified: the new login was not proven; nothing is disabled without that.
        Conflict: the newest version is not this rotation's.
    """
    secret, vault_name = str(context.subject), context.credential.vault
    with opened_for(context) as access:
        vault = access.vault
        _, facts = recall_candidate(vault, context.credential, context.rotation_id)
        newest, *others = vault.list_all(secret)
        if facts.phase is not Phase.PROVEN:
            raise Unverified("The new login was not proven", name=f"{vault_name}/{secret}", fix="run again")
        if newest.tags.get(ROTATION_ID) != context.rotation_id or not newest.enabled:
            _check_base(context, newest, facts)
            raise Conflict("The newest version is not this rotation's", name=f"{vault_name}/{secret}", fix="run again")
        older = [found.version for found in others if found.enabled]
        retired = older[context.options.keep_versions :]
        for version in retired:
            confirm_lock(access.cluster, context.credential, context.rotation_id)
            vault.set_enabled(secret, version, False)
        get_run_logger().info("%s: disabled %d older versions, kept %s", secret, len(retired), newest.version)
        return retired


@task_with_retries(name="Begin rollback", run_name="{context.credential.name}: begin rolling back")
def begin_rollback(context: StepContext) -> None:
    """Note at the candidate that its rotation is rolled back, so that no later run continues it."""
    with opened_for(context) as access:
        candidate, facts = get_candidate(access.vault, context.credential, context.rotation_id)
        if facts.phase is not Phase.ROLLING_BACK:
            set_phase(access.vault, candidate, Phase.ROLLING_BACK)


@performs(Action.FINISH)
def finish(context: StepContext) -> None:
    """Note that the rotation is done and delete the candidate, for good if the caller may purge."""
    _delete_candidate(context, Phase.DONE)


@performs(Action.FINISH_ROLLBACK)
def finish_rollback(context: StepContext) -> None:
    """Note that the rotation was rolled back and delete the candidate; its values stay in the older versions."""
    _delete_candidate(context, Phase.ROLLED_BACK)


def _delete_candidate(context: StepContext, phase: Phase) -> None:
    with opened_for(context) as access:
        found = find_recalled(access.vault, context.credential)
        if found is None or found[1].rotation_id != context.rotation_id:
            return
        if found[1].phase.is_live:
            with suppress(Conflict):  # somebody else has deleted it
                set_phase(access.vault, found[0], phase)
        access.vault.delete(found[0].name, waits=False)
        try:
            access.vault.purge(found[0].name, waits=True)
        except KeyturnError as error:
            get_run_logger().info("the candidate is deleted but not purged: %s", error.code or error.what)
