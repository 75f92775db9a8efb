"""The steps of a rotation in the vault: prove, stage, publish, restore, retire, drop. Each asks first if it is done."""

from collections.abc import Mapping

from prefect.logging import get_run_logger

from infra.azure.secrets import Secrets, SecretVersion
from infra.errors import Conflict, KeyturnError, Unverified
from infra.postgres.login import prove_login
from infra.rotation.candidate import Credential, dump_candidate
from infra.rotation.observation import (
    BASE_PASSWORD,
    BASE_USERNAME,
    PHASE,
    RESTORES,
    ROTATION_ID,
    STRATEGY,
    CandidateFacts,
    Phase,
)
from infra.rotation.passwords import generate_password
from infra.settings import Settings
from tasks.connections import endpoint_of
from tasks.credentials import (
    candidate_name,
    find_candidate,
    get_candidate,
    read_base,
    read_candidate,
    read_newest,
    values_by_secret,
)
from tasks.locking import confirm_lock
from tasks.opening import opened
from tasks.orders import Order
from tasks.policy import step
from tasks.usernames import choose_username


@step(name="Prove the present login", run_name="prove that the present login of {order.subject} works")
def prove_current(order: Order) -> None:
    """Log in afresh with the newest versions.

    Raises:
        LoginRefused: the database does not take them; nothing was changed.
    """
    with opened(order) as (vault, cluster):
        now = read_newest(vault, order.target)
        prove_login(endpoint_of(order.target, cluster), now.username, now.password, Settings())


@step(name="Stage the candidate", run_name="stage a candidate beside {order.subject}")
def stage(order: Order) -> str:
    """Write the new login as one secret, so that from here on a crash loses no password. Returns its version.

    Raises:
        InvalidInput: PostgreSQL reserves the given username.
        Conflict: another rotation's candidate is there.
    """
    target, name = order.target, candidate_name(order.target)
    with opened(order) as (vault, cluster):
        found = find_candidate(vault, target)
        if found and found[1].phase.is_live:
            return get_candidate(vault, target, order.rotation_id)[0].version
        if found is None:
            _free_name(vault, name)
        now = {one: vault.get_latest(one) for one in (target.username_secret, target.password_secret)}
        present = Credential(*(vault.read(name, one.version) for name, one in now.items()))
        new = Credential(choose_username(order, cluster, present), generate_password())
        tags = {
            ROTATION_ID: order.rotation_id,
            STRATEGY: target.strategy.value,
            PHASE: Phase.STAGED.value,
            BASE_USERNAME: now[target.username_secret].version,
            BASE_PASSWORD: now[target.password_secret].version,
        }
        confirm_lock(cluster, target, order.rotation_id)
        return vault.write(name, dump_candidate(new), tags).version


def _free_name(vault: Secrets, name: str) -> None:
    """Free the name from an earlier, deleted candidate; where nobody may purge, bring that one back to write over."""
    if not vault.find_deleted(name):
        return
    try:
        vault.purge(name)
    except KeyturnError as error:
        get_run_logger().info("the earlier candidate cannot be purged (%s): it is written over", error.code)
        vault.recover(name)


@step(name="Publish", run_name="publish the new version of {order.subject}")
def publish(order: Order) -> str:
    """Make the candidate's value the newest version of one secret. Returns that version's id.

    Raises:
        Conflict: somebody else wrote a version since the candidate was staged; theirs is not overwritten.
    """
    with opened(order) as (vault, cluster):
        candidate, facts = get_candidate(vault, order.target, order.rotation_id)
        newest = vault.get_latest(order.subject)
        if newest.tags.get(ROTATION_ID) == order.rotation_id and RESTORES not in newest.tags:
            return newest.version
        _check_base(order, newest, facts)
        values = values_by_secret(order.target, read_candidate(vault, candidate))
        confirm_lock(cluster, order.target, order.rotation_id)
        return _write(vault, order, values, {ROTATION_ID: order.rotation_id})


@step(name="Restore", run_name="write the old value of {order.subject} as a new version")
def restore(order: Order) -> str:
    """Make the value that was in force before the newest version again. Returns that version's id.

    Raises:
        SecretUnusable: the old version is disabled.
        Conflict: somebody else wrote a version meanwhile; theirs is not overwritten.
    """
    with opened(order) as (vault, cluster):
        _, facts = get_candidate(vault, order.target, order.rotation_id)
        newest = vault.get_latest(order.subject)
        ours = newest.tags.get(ROTATION_ID) == order.rotation_id
        if newest.version == _base_version(order, facts) or (ours and RESTORES in newest.tags):
            return newest.version
        if not ours:
            _check_base(order, newest, facts)
        values = values_by_secret(order.target, read_base(vault, order.target, facts))
        tags = {ROTATION_ID: order.rotation_id, RESTORES: _base_version(order, facts)}
        confirm_lock(cluster, order.target, order.rotation_id)
        return _write(vault, order, values, tags)


def _write(vault: Secrets, order: Order, values: Mapping[str, str], tags: Mapping[str, str]) -> str:
    written = vault.write(order.subject, values[order.subject], tags)
    get_run_logger().info("%s/%s has the new version %s", vault.vault, order.subject, written.version)
    return written.version


def _base_version(order: Order, facts: CandidateFacts) -> str:
    return facts.base_username if order.subject == order.target.username_secret else facts.base_password


def _check_base(order: Order, newest: SecretVersion, facts: CandidateFacts) -> None:
    if newest.version != _base_version(order, facts):
        raise Conflict(
            "Somebody else wrote a newer version",
            name=f"{order.target.vault}/{order.subject}",
            seen=f"version {newest.version} of {newest.created_at:%Y-%m-%d %H:%M:%S} UTC; it is not overwritten",
            fix="see who wrote it and whether the database takes it",
            code="NewerVersion",
        )


@step(name="Begin the rollback", run_name="note that rotation {order.rotation_id} goes back to the old values")
def begin_rollback(order: Order) -> None:
    """Note at the candidate that no later run may go forward with it."""
    with opened(order) as (vault, _):
        candidate, facts = get_candidate(vault, order.target, order.rotation_id)
        if facts.phase is not Phase.ROLLING_BACK:
            set_phase(vault, candidate, Phase.ROLLING_BACK)


def set_phase(vault: Secrets, candidate: SecretVersion, phase: Phase) -> None:
    """Note at the candidate how far its rotation is."""
    vault.set_tags(candidate.name, candidate.version, {**candidate.tags, PHASE: phase.value})


@step(name="Retire", run_name="disable the older versions of {order.subject}")
def retire(order: Order) -> list[str]:
    """Disable every version but the newest and as many as shall stay before it, and return the ids of those disabled.

    Raises:
        Unverified: the new login was not proven; nothing is disabled without that.
        Conflict: the newest version is not this rotation's.
    """
    with opened(order) as (vault, cluster):
        _, facts = get_candidate(vault, order.target, order.rotation_id)
        newest = vault.get_latest(order.subject)
        if facts.phase is not Phase.PROVEN:
            raise Unverified("The new login was not proven", name=order.subject, fix="run again")
        if newest.tags.get(ROTATION_ID) != order.rotation_id or not newest.enabled:
            _check_base(order, newest, facts)
            raise Conflict("The newest version is not the rotation's", name=order.subject, fix="run again")
        older = [one for one in vault.list_versions(order.subject) if one.enabled and one.version != newest.version]
        retired = older[order.options.keep_versions :]
        for one in retired:
            confirm_lock(cluster, order.target, order.rotation_id)
            vault.set_enabled(order.subject, one.version, False)
        get_run_logger().info("%s: %d older versions disabled, %s stays", order.subject, len(retired), newest.version)
        return [one.version for one in retired]


@step(name="Drop the candidate", run_name="drop the candidate of {order.subject}")
def finish(order: Order) -> None:
    """Note that the rotation is done and delete the candidate, for good where the caller may purge."""
    _drop(order, Phase.DONE)


@step(name="Drop the failed candidate", run_name="drop the failed candidate of {order.subject}")
def finish_rollback(order: Order) -> None:
    """Note that the rotation was rolled back and delete the candidate; its values stay in the older versions."""
    _drop(order, Phase.ROLLED_BACK)


def _drop(order: Order, phase: Phase) -> None:
    with opened(order) as (vault, _):
        found = find_candidate(vault, order.target)
        if found is None or found[1].rotation_id != order.rotation_id:
            return
        if found[1].phase.is_live:
            set_phase(vault, found[0], phase)
        vault.delete(found[0].name)
        try:
            vault.purge(found[0].name)
        except KeyturnError as error:
            get_run_logger().info("the candidate stays deleted but not purged: %s", error.code or error.what)
