"""The steps of a rotation in the vault: stage, publish, restore, retire, finish. Each first looks if it is done."""

from prefect.logging import get_run_logger

from infra.azure.secrets import KeyVault, SecretVersion
from infra.credentials import Login
from infra.errors import Code, Conflict, KeyturnError, Unverified
from infra.rotation.candidate import dump_candidate, name_candidate
from infra.rotation.new_logins import generate_password
from infra.rotation.observation import (
    BASE_VERSIONS,
    PHASE,
    RESTORES,
    ROTATION_ID,
    STRATEGY,
    CandidateFacts,
    Phase,
)
from infra.rotation.steps import Action
from tasks.context import Access
from tasks.retries import task_with_retries
from tasks.rotation.lock import confirm_lock
from tasks.rotation.logins import choose_username
from tasks.rotation.registry import StepContext, opened_for, performs
from tasks.rotation.staged import find_candidate, get_candidate, read_base, read_candidate, set_phase


@performs(Action.STAGE)
def stage(context: StepContext) -> str:
    """Write the new login as one secret, so that from here on a crash loses no password. Returns its version.

    Raises:
        InvalidInput: the username asked for cannot be used.
        Conflict: another rotation's candidate is there.
    """
    credential = context.credential
    layout, name = credential.secrets, name_candidate(credential.secrets.names)
    with opened_for(context) as access:
        vault = access.vault
        found = find_candidate(vault, credential)
        if found and found[1].phase.is_live:
            return get_candidate(vault, credential, context.rotation_id)[0].version
        if found is None:
            _free_name(vault, name)
        base = {secret: vault.get_latest(secret).version for secret in layout.names}
        current = layout.parse({secret: vault.read(secret, version) for secret, version in base.items()})
        new = Login(choose_username(context, access, current), generate_password())
        tags = {
            ROTATION_ID: context.rotation_id,
            STRATEGY: credential.strategy.value,
            PHASE: Phase.STAGED.value,
            BASE_VERSIONS: ",".join(base[secret] for secret in layout.names),
        }
        confirm_lock(access.cluster, credential, context.rotation_id)
        return vault.write(name, dump_candidate(new), tags).version


def _free_name(vault: KeyVault, name: str) -> None:
    """Purge an earlier, deleted candidate; where nobody may purge, recover it to write over it."""
    if not vault.find_deleted(name):
        return
    try:
        vault.purge(name)
    except KeyturnError as error:
        get_run_logger().info("the earlier candidate cannot be purged (%s): it is written over", error.code)
        vault.recover(name)


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
        new = read_candidate(access.vault, candidate)
        return _write(access, context, new, {ROTATION_ID: context.rotation_id})


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
        previous = read_base(access.vault, context.credential, facts)
        return _write(access, context, previous, {ROTATION_ID: context.rotation_id, RESTORES: base})


def _write(access: Access, context: StepContext, login: Login, tags: dict[str, str]) -> str:
    secret = str(context.subject)
    value = context.credential.secrets.render(login)[secret]
    confirm_lock(access.cluster, context.credential, context.rotation_id)
    written = access.vault.write(secret, value, tags)
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
        _, facts = get_candidate(vault, context.credential, context.rotation_id)
        newest = vault.get_latest(secret)
        if facts.phase is not Phase.PROVEN:
            raise Unverified("The new login was not proven", name=f"{vault_name}/{secret}", fix="run again")
        if newest.tags.get(ROTATION_ID) != context.rotation_id or not newest.enabled:
            _check_base(context, newest, facts)
            raise Conflict("The newest version is not this rotation's", name=f"{vault_name}/{secret}", fix="run again")
        older = [found for found in vault.list_versions(secret) if found.enabled and found.version != newest.version]
        retired = [found.version for found in older[context.options.keep_versions :]]
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
        found = find_candidate(access.vault, context.credential)
        if found is None or found[1].rotation_id != context.rotation_id:
            return
        if found[1].phase.is_live:
            set_phase(access.vault, found[0], phase)
        access.vault.delete(found[0].name)
        try:
            access.vault.purge(found[0].name)
        except KeyturnError as error:
            get_run_logger().info("the candidate is deleted but not purged: %s", error.code or error.what)
