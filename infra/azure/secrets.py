"""Secrets of a key vault: its data plane. Versions are facts and travel; values are read where they are used.

Key Vault has no pending label: what is written is live. Its list of versions is in no order, and a GET without
a version takes the newest one even when that is disabled.
https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from azure.keyvault.secrets import SecretClient, SecretProperties

from infra.azure.arm import AzureKind
from infra.azure.errors import translated
from infra.errors import NotFound, SecretUnusable
from infra.provisioning.first_login import read_first_password
from infra.provisioning.kinds import Found, OnProgress, State, ignore
from infra.provisioning.resources import VaultSecret
from infra.rotation.new_logins import generate_password

if TYPE_CHECKING:
    from infra.azure.client import Azure

READER, WRITER = "Key Vault Secrets User", "Key Vault Secrets Officer"
EPOCH = datetime.fromtimestamp(0, UTC)
DOUBTFUL = timedelta(minutes=5)
"""Within this, creation times do not tell which of two versions is the newer one."""
_POLLED = {"_polling_interval": 0.25}
"""Between two looks at a deletion, in seconds. The SDK's own 2 s are longer than most deletions last."""


@dataclass(frozen=True)
class SecretVersion:
    """One version of a secret, without its value.

    Args:
        name: the secret's name.
        version: the version's id, 32 hexadecimal digits.
        enabled: whether it can be read.
        created_at: when it was written; Key Vault counts whole seconds.
        tags: its tags.
    """

    name: str
    version: str
    enabled: bool
    created_at: datetime
    tags: Mapping[str, str] = field(default_factory=dict)


class KeyVault:
    """The secrets of one vault.

    Args:
        azure: the sign-in.
        name: the vault's name, 3-24 characters.
    """

    def __init__(self, azure: "Azure", name: str) -> None:
        self.name = name
        self._azure, self._timeout_seconds = azure, azure.settings.request_timeout_seconds

    def list_versions(self, name: str) -> list[SecretVersion]:
        """Return all versions of a secret, newest first; those of the same second stay in the order found.

        Returns:
            An empty list when the secret does not exist.
        """
        try:
            with self._opened("Cannot list the versions of the secret", name, READER) as client:
                found = [_version(name, each) for each in client.list_properties_of_secret_versions(name)]
        except NotFound as error:
            if error.code != "SecretNotFound":
                raise
            return []
        return sorted(found, key=lambda version: version.created_at, reverse=True)

    def find_latest(self, name: str) -> SecretVersion | None:
        """Return the version that a GET without a version takes, or None when there is no such secret."""
        return self.pick_latest(name, self.list_versions(name))

    def pick_latest(self, name: str, versions: Sequence[SecretVersion]) -> SecretVersion | None:
        """Return which of the listed versions, newest first, a GET without a version takes; None of none.

        Creation times count whole seconds, by clocks that may be set back: of versions written within minutes, only a
        GET knows the newest.
        """
        close = [version for version in versions if versions[0].created_at - version.created_at <= DOUBTFUL]
        if len(close) < 2:
            return versions[0] if versions else None
        try:
            with self._opened("Cannot read the secret", name, READER) as client:
                latest = client.get_secret(name).properties.version
        except SecretUnusable:
            return next((version for version in close if not version.enabled), close[0])
        return next((version for version in versions if version.version == latest), close[0])

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

    def read(self, name: str, version: str = "") -> str:
        """Return a secret's value: the newest by default. The value must not leave the calling task.

        Raises:
            NotFound: the vault, the secret or the version does not exist.
            SecretUnusable: the version is disabled (code SecretDisabled).
            AccessDenied: the caller lacks Key Vault Secrets User.
        """
        with self._opened("Cannot read the secret", name, READER) as client:
            return client.get_secret(name, version or None).value or ""

    def write(self, name: str, value: str, tags: Mapping[str, str] | None = None) -> SecretVersion:
        """Write a new version, which is live at once, and return it without its value."""
        with self._opened("Cannot write the secret", name, WRITER) as client:
            return _version(name, client.set_secret(name, value, tags=dict(tags or {})).properties)

    def set_enabled(self, name: str, version: str, enabled: bool) -> None:
        """Enable or disable one version."""
        with self._opened("Cannot enable or disable the secret", name, WRITER) as client:
            client.update_secret_properties(name, version, enabled=enabled)

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Replace the tags of one version."""
        with self._opened("Cannot tag the secret", name, WRITER) as client:
            client.update_secret_properties(name, version, tags=dict(tags))

    def delete(self, name: str) -> None:
        """Delete a secret softly, all its versions, and wait until that is done. An absent one is no error."""
        try:
            with self._opened("Cannot delete the secret", name, WRITER) as client:
                client.begin_delete_secret(name, **_POLLED).wait(self._timeout_seconds)
        except NotFound as error:
            if error.code != "SecretNotFound":
                raise

    def find_deleted(self, name: str) -> bool:
        """Tell whether a softly deleted secret holds the name."""
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
        with self._opened("Cannot recover the secret", name, WRITER) as client:
            client.begin_recover_deleted_secret(name, **_POLLED).wait(self._timeout_seconds)

    def purge(self, name: str) -> None:
        """Remove a softly deleted secret for good."""
        with self._opened("Cannot purge the secret", name, "Key Vault Administrator") as client:
            client.purge_deleted_secret(name)

    def _where(self, name: str) -> str:
        return f"{self.name}/{name}"

    @contextmanager
    def _opened(self, what: str, name: str, role: str) -> Iterator[SecretClient]:
        url = f"https://{self.name}.vault.azure.net"
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


def _version(name: str, properties: SecretProperties) -> SecretVersion:
    return SecretVersion(
        name=name,
        version=properties.version or "",
        enabled=bool(properties.enabled),
        created_at=properties.created_on or EPOCH,
        tags=dict(properties.tags or {}),
    )
