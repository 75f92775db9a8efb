"""Secrets of a key vault: its data plane. Versions are facts and travel; values are read where they are used.

Key Vault has no pending label: what is written is live. Its list of versions is in no order, and a GET without
a version takes the newest one even when that is disabled.
https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from azure.keyvault.secrets import KeyVaultSecret, SecretClient

from infra.azure.arm import AzureKind
from infra.azure.errors import translated
from infra.azure.models import lock_models
from infra.azure.versions import SecretVersion, VersionMemory, read_properties
from infra.errors import Code, Conflict, KeyturnError, NotFound, SecretUnusable
from infra.provisioning.first_login import read_first_password
from infra.provisioning.kinds import Found, OnProgress, State, ignore
from infra.provisioning.resources import VaultSecret
from infra.rotation.attributes import Attributes
from infra.rotation.new_logins import generate_password

if TYPE_CHECKING:
    from infra.azure.client import Azure

READER, WRITER = "Key Vault Secrets User", "Key Vault Secrets Officer"
DOUBTFUL = timedelta(minutes=5)
"""Within this, creation times do not tell which of two versions is the newer one."""
_POLLED = {"_polling_interval": 0.25}
"""Between two looks at a deletion, in seconds. The SDK's own 2 s are longer than most deletions last."""
_PURGED_WITHIN_SECONDS, _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 60.0, 0.25, 8.0
"""How long a name is waited for that a purge still holds, and the pauses between two tries to write or to purge."""


class KeyVault:
    """The secrets of one vault.

    Args:
        azure: the sign-in.
        name: the vault's name, 3-24 characters.
        memory: what the run knows of the vault's versions. With one, the object belongs to one task, and reads the
            value of a version once.
    """

    def __init__(self, azure: "Azure", name: str, memory: VersionMemory | None = None) -> None:
        self.name = name
        self._azure, self._timeout_seconds = azure, azure.settings.request_timeout_seconds
        self._memory = memory or VersionMemory()
        self._values: dict[tuple[str, str], str] | None = None if memory is None else {}

    def list_versions(self, name: str) -> list[SecretVersion]:
        """Return all versions of a secret, newest first; those of the same second stay in the order found.

        Returns:
            An empty list when the secret does not exist.
        """
        try:
            with self._opened("Cannot list the versions of the secret", name, READER) as client:
                found = [read_properties(name, each) for each in client.list_properties_of_secret_versions(name)]
        except NotFound as error:
            if error.code != "SecretNotFound":
                raise
            return []
        self._memory.keep_all(name, found)
        return sorted(found, key=lambda version: version.created_at, reverse=True)

    def list_newest(self) -> list[SecretVersion]:
        """Return the newest version of every secret in the vault, without its id: 25 secrets cost one request."""
        with self._opened("Cannot list the secrets", "", READER) as client:
            return [read_properties(each.name or "", each) for each in client.list_properties_of_secrets()]

    def find_latest(self, name: str) -> SecretVersion | None:
        """Return the version that a GET without a version takes, or None when there is no such secret.

        Creation times count whole seconds, by clocks that may be set back: only a GET knows the newest. It says nothing
        of a disabled one, which then is the youngest disabled one of the last minutes.
        """
        try:
            latest, _ = self._get(name)
        except SecretUnusable:
            latest = _pick_disabled(self.list_versions(name))
            self._memory.keep_latest(latest)
        except NotFound as error:
            if error.code != "SecretNotFound":
                raise
            self._memory.keep_absent(name)
            return None
        return latest

    def find_last_seen(self, name: str) -> SecretVersion | None:
        """Return the newest version as the run saw or wrote it last; look for it if the run has not done so."""
        return None if self.is_known_absent(name) else self._memory.find_latest(name) or self.find_latest(name)

    def is_known_absent(self, name: str) -> bool:
        """Tell whether the run has found no such secret, or has deleted it."""
        return self._memory.is_absent(name)

    def list_all(self, name: str) -> list[SecretVersion]:
        """Return all versions, the newest first by a look at it; the others as the run knows them.

        Raises:
            NotFound: there is no such secret.
        """
        latest = self.get_latest(name)
        if (known := self._memory.find_all(name)) is None:
            self.list_versions(name)
            known = self._memory.find_all(name)
        return known or [latest]

    def get_latest(self, name: str) -> SecretVersion:
        """Return the newest version.

        Raises:
            NotFound: there is no such secret.
        """
        if found := self.find_latest(name):
            return found
        raise NotFound(
            "The secret does not exist",
            name=self._where(name),
            fix="Provision the vault, or write the secret",
            code="SecretNotFound",
        )

    def get_version(self, name: str, version: str) -> SecretVersion:
        """Return one version.

        Raises:
            NotFound: there is no such version.
            SecretUnusable: it is disabled.
        """
        return self._memory.find(name, version) or self._get(name, version)[0]

    def read(self, name: str, version: str = "") -> str:
        """Return a secret's value: the newest by default. The value must not leave the calling task.

        Raises:
            NotFound: the vault, the secret or the version does not exist.
            SecretUnusable: the version is disabled (code SecretDisabled).
            AccessDenied: the caller lacks Key Vault Secrets User.
        """
        known = self._values.get((name, version)) if self._values else None
        return self._get(name, version)[1] if known is None else known

    def write(
        self,
        name: str,
        value: str,
        tags: Mapping[str, str] | None = None,
        attributes: Attributes = Attributes(),  # noqa: B008
    ) -> SecretVersion:
        """Write a new version, which is live at once, and return it without its value.

        A name that a purge still holds is waited for, up to a minute.

        Args:
            name: the secret's name.
            value: its value.
            tags: the version's tags, in place of those of `attributes`.
            attributes: its content type, expiry and tags.

        Raises:
            AccessDenied: the caller lacks Key Vault Secrets Officer, or a policy denies such a version.
            Conflict: a deleted secret holds the name, or still a purge (code ObjectIsBeingDeleted).
        """
        if tags is not None:
            attributes = replace(attributes, tags=tags)
        deadline, pause = time.monotonic() + _PURGED_WITHIN_SECONDS, _FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._set(name, value, attributes)
            except Conflict as error:
                if error.code != Code.OBJECT_IS_BEING_DELETED or time.monotonic() + pause > deadline:
                    raise
            threading.Event().wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _set(self, name: str, value: str, attributes: Attributes) -> SecretVersion:
        repeats = list[int]()
        try:
            with self._opened("Cannot write the secret", name, WRITER) as client:
                secret = client.set_secret(
                    name,
                    value,
                    content_type=attributes.content_type or None,
                    expires_on=attributes.expires_at,
                    not_before=attributes.not_before,
                    tags=dict(attributes.tags),
                    raw_response_hook=lambda response: repeats.append(response.context.get("retry_count", 0)),
                )
        except KeyturnError:  # it may have been written all the same
            self._memory.forget(name)
            raise
        written = self._read(name, secret)
        if any(repeats):  # the attempt before may have written a version, too
            self._memory.forget(name)
        self._memory.keep_written(written)
        return written

    def set_enabled(self, name: str, version: str, enabled: bool) -> None:
        """Enable or disable one version."""
        with self._opened("Cannot enable or disable the secret", name, WRITER) as client:
            changed = client.update_secret_properties(name, version, enabled=enabled)
        self._memory.keep_changed(read_properties(name, changed))

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Replace the tags of one version."""
        with self._opened("Cannot tag the secret", name, WRITER) as client:
            changed = client.update_secret_properties(name, version, tags=dict(tags))
        self._memory.keep_changed(read_properties(name, changed))

    def delete(self, name: str, *, waits: bool = True) -> None:
        """Delete a secret softly, all its versions. An absent one is no error.

        Args:
            name: the secret's name.
            waits: wait until that is done. Nobody can read the secret from the beginning.
        """
        self._memory.forget(name)
        try:
            with self._opened("Cannot delete the secret", name, WRITER) as client:
                deletion = client.begin_delete_secret(name, **_POLLED)
                if waits:
                    deletion.wait(self._timeout_seconds)
        except NotFound as error:
            if error.code != "SecretNotFound":
                raise
        self._memory.keep_absent(name)

    def find_deleted(self, name: str) -> bool:
        """Tell whether a softly deleted secret holds the name, or one that is being purged."""
        try:
            with self._opened("Cannot look for the deleted secret", name, WRITER) as client:
                client.get_deleted_secret(name)
        except NotFound as error:
            if error.code != "SecretNotFound":
                raise
            return False
        return True

    def recover(self, name: str) -> None:
        """Recover a softly deleted secret and wait until it exists."""
        self._memory.forget(name)
        with self._opened("Cannot recover the secret", name, WRITER) as client:
            client.begin_recover_deleted_secret(name, **_POLLED).wait(self._timeout_seconds)

    def purge(self, name: str, *, waits: bool = False) -> None:
        """Remove a softly deleted secret for good.

        Args:
            name: the secret's name.
            waits: try again as long as Key Vault is still deleting it, and so finds nothing to purge.
        """
        deadline = time.monotonic() + (self._timeout_seconds if waits else 0)
        while True:
            try:
                with self._opened("Cannot purge the secret", name, "Key Vault Administrator") as client:
                    return client.purge_deleted_secret(name)
            except (NotFound, Conflict):
                if time.monotonic() + _FIRST_PAUSE_SECONDS > deadline:
                    raise
            threading.Event().wait(_FIRST_PAUSE_SECONDS)

    def _get(self, name: str, version: str = "") -> tuple[SecretVersion, str]:
        """Return a version and its value, the newest by default."""
        with self._opened("Cannot read the secret", name, READER) as client:
            secret = client.get_secret(name, version or None)
        read = self._read(name, secret)
        if not version:
            self._memory.keep_latest(read)
        return read, secret.value or ""

    def _read(self, name: str, secret: KeyVaultSecret) -> SecretVersion:
        read = read_properties(name, secret.properties)
        if self._values is not None:
            self._values[name, read.version] = secret.value or ""
        return read

    def _where(self, name: str) -> str:
        return f"{self.name}/{name}".rstrip("/")

    @contextmanager
    def _opened(self, what: str, name: str, role: str) -> Iterator[SecretClient]:
        url = f"https://{self.name}.{self._azure.cloud.vault_domain}"
        lock_models("azure.keyvault.secrets._generated")
        with (
            translated(what, name=self._where(name), role=role, scope=f"the vault {self.name}"),
            SecretClient(url, self._azure.credential, **self._azure.client_options()) as client,
        ):
            yield client


class VaultSecrets(AzureKind[VaultSecret]):
    """Secrets that must exist, whatever their value: provisioning writes the first version alone."""

    resource = VaultSecret
    role = WRITER
    on_data_plane = True

    def find(self, wanted: VaultSecret) -> Found | None:
        """Return the secret, or a softly deleted one that holds its name, or None."""
        vault = self.azure.vault(wanted.parent)
        if latest := vault.find_latest(wanted.name):
            enabled = latest.enabled
            return Found(VaultSecret(name=wanted.name, parent=wanted.parent, newest_version_enabled=enabled))
        if vault.find_deleted(wanted.name):
            return Found(wanted, State.DELETED, "soft-deleted; recovering keeps its versions")
        return None

    def put(self, wanted: VaultSecret, on_progress: OnProgress = ignore) -> None:
        """Write the first version: the username, the password of the variable, or a generated one.

        Raises:
            InvalidInput: the password of the variable is missing or too weak.
        """
        value = wanted.username or read_first_password(wanted.variable, wanted.login, os.environ)
        self.azure.vault(wanted.parent).write(wanted.name, value or generate_password())

    def recover(self, wanted: VaultSecret, on_progress: OnProgress = ignore) -> None:
        """Recover a softly deleted secret, with all its versions."""
        self.azure.vault(wanted.parent).recover(wanted.name)


def _pick_disabled(versions: Sequence[SecretVersion]) -> SecretVersion:
    """Return which of the versions, newest first, a GET without a version refuses because it is disabled."""
    close = [version for version in versions if versions[0].created_at - version.created_at <= DOUBTFUL]
    return next((version for version in close if not version.enabled), close[0])
