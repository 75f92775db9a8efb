"""A vault and the secrets in it: versions, attributes, soft delete.

Raises Key Vault's own errors and knows nothing of HTTP or of who asks.
https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates
"""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from lab.azure.errors import AzureError

MAX_VALUE_BYTES = 25_600
MOST_TAGS, MOST_TAG_CHARACTERS, MOST_CONTENT_TYPE_CHARACTERS = 15, 256, 255
_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
_NOT_FOUND_HELP = (
    "If you recently deleted this secret you may be able to recover it using the correct recovery command. "
    "For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
)


@dataclass(frozen=True)
class SecretAttributes:
    """What a caller may set on a version beside its value. Times are Unix seconds, as on the wire."""

    enabled: bool = True
    not_before: int | None = None
    expires: int | None = None


@dataclass(frozen=True)
class SecretVersion:
    """One version of a secret. The value stays out of its text form."""

    name: str
    version: str
    value: str = field(repr=False)
    attributes: SecretAttributes
    created: int
    updated: int
    content_type: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass
class DeletedSecret:
    """A secret that was deleted and can be recovered from `ready_at` on, or that is being purged until `gone_at`.

    Both are times of the vault's steady clock.
    """

    versions: dict[str, SecretVersion]
    deleted_at: datetime
    ready_at: datetime
    purge_at: datetime
    gone_at: datetime | None = None

    @property
    def newest(self) -> SecretVersion:
        """The version that was current."""
        return next(reversed(self.versions.values()))


@dataclass
class Vault:
    """A vault and what it holds.

    Args:
        name: its name, lower case; the first label of its host.
        resource_id: its ARM id, the scope of role assignments.
        location: its region.
        now: the clock that it shows, which may be set.
        steady: the clock by which deleting and purging take their time; it is never set.
        retention_days: how long deleted secrets are kept, 7 to 90.
        purge_protection: whether purging is refused.
        rbac: whether role assignments decide; else `policies` do.
        policies: object id to allowed secret permissions ("get", "list", "set", ...), for vaults without RBAC.
        settle: how long deleting or purging a secret takes.
    """

    name: str
    resource_id: str
    location: str
    now: Callable[[], datetime] = field(repr=False)
    steady: Callable[[], datetime] = field(repr=False)
    retention_days: int = 90
    purge_protection: bool = False
    rbac: bool = True
    policies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    settle: timedelta = timedelta(0)
    _live: dict[str, dict[str, SecretVersion]] = field(default_factory=dict, repr=False)
    _deleted: dict[str, DeletedSecret] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """The data plane's address, without a slash at its end."""
        return f"https://{self.name}.vault.azure.net"

    @property
    def recovery_level(self) -> str:
        """What a deleted secret can expect."""
        level = "Recoverable" if self.retention_days == 90 else "CustomizedRecoverable"
        return level if self.purge_protection else f"{level}+Purgeable"

    def set_secret(
        self,
        name: str,
        value: str,
        attributes: SecretAttributes = SecretAttributes(),
        tags: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> SecretVersion:
        """Write a new version, which is the newest from now on.

        Raises:
            AzureError: 400 for a name, value, tag or content type that is not allowed; 409 when the name is in soft
                delete or being purged.
        """
        key = _key(name)
        if len(value.encode()) > MAX_VALUE_BYTES:
            raise AzureError(400, "BadParameter", f"The value of the secret is larger than {MAX_VALUE_BYTES} bytes.")
        _check_limits(tags or {}, content_type or "")
        if deleted := self._find_deleted(key):
            raise self._name_is_taken(name, deleted)
        moment = int(self.now().timestamp())
        kept = next(iter(self._live[key].values())).name if key in self._live else name
        made = SecretVersion(kept, uuid.uuid4().hex, value, attributes, moment, moment, content_type, dict(tags or {}))
        self._live.setdefault(key, {})[made.version] = made
        return made

    def _name_is_taken(self, name: str, deleted: DeletedSecret) -> AzureError:
        if deleted.gone_at or self.steady() < deleted.ready_at:
            return _being_deleted(name)
        return AzureError(
            409,
            "Conflict",
            f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; "
            "in this state, the secret can only be recovered or purged.",
            inner="ObjectIsDeletedButRecoverable",
        )

    def get_version(self, name: str, version: str = "") -> SecretVersion:
        """One version, or the newest, enabled or not.

        Raises:
            AzureError: 404 SecretNotFound.
        """
        versions = self._live.get(_key(name), {})
        found = versions.get(version) if version else next(reversed(versions.values()), None)
        if found is None:
            where = f"{name}/{version}" if version else name
            raise AzureError(
                404,
                "SecretNotFound",
                f"A secret with (name/id) {where} was not found in this key vault. {_NOT_FOUND_HELP}",
            )
        return found

    def read_version(self, name: str, version: str = "") -> SecretVersion:
        """The same, to read its value: refused while the version is disabled, with no fallback to an older one.

        Raises:
            AzureError: 404 SecretNotFound; 403 SecretDisabled.
        """
        found = self.get_version(name, version)
        if not found.attributes.enabled:
            raise AzureError(
                403, "Forbidden", "Operation get is not allowed on a disabled secret.", inner="SecretDisabled"
            )
        return found

    def update_version(
        self,
        name: str,
        version: str,
        attributes: Mapping[str, object],
        tags: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> SecretVersion:
        """Change what is given of a version ("enabled", "not_before", "expires", tags, content type) and no more."""
        found = self.get_version(name, version)
        _check_limits(tags or {}, content_type or "")
        changed = replace(
            found,
            attributes=replace(found.attributes, **attributes),  # type: ignore[arg-type]
            tags=found.tags if tags is None else dict(tags),
            content_type=found.content_type if content_type is None else content_type,
            updated=int(self.now().timestamp()),
        )
        self._live[_key(name)][found.version] = changed
        return changed

    def list_newest(self) -> list[SecretVersion]:
        """The newest version of each secret, ordered by name."""
        return [next(reversed(self._live[key].values())) for key in sorted(self._live)]

    def list_versions(self, name: str) -> list[SecretVersion]:
        """All versions of a secret, in the order of their random ids: not in the order of time, as in Azure.

        Raises:
            AzureError: 404 SecretNotFound.
        """
        self.get_version(name)
        return sorted(self._live[_key(name)].values(), key=lambda version: version.version)

    def versions_of(self, name: str) -> list[SecretVersion]:
        """All versions of a secret, the newest last; 404 SecretNotFound when there is none."""
        self.get_version(name)
        return list(self._live[_key(name)].values())

    def restore_secret(self, versions: Sequence[SecretVersion]) -> SecretVersion:
        """Bring back the versions of a backup, the newest last; returns the newest.

        Raises:
            AzureError: 409 when the name is in use, in soft delete or being purged.
        """
        newest = versions[-1]
        if _key(newest.name) in self._live:
            raise AzureError(409, "Conflict", f"A secret named {newest.name} already exists in this vault.")
        if deleted := self._find_deleted(_key(newest.name)):
            raise self._name_is_taken(newest.name, deleted)
        self._live[_key(newest.name)] = {version.version: version for version in versions}
        return newest

    def delete_secret(self, name: str) -> DeletedSecret:
        """Move a secret with all of its versions into soft delete."""
        self.get_version(name)
        moment = self.now()
        deleted = DeletedSecret(
            self._live.pop(_key(name)),
            moment,
            self.steady() + self.settle,
            moment + timedelta(days=self.retention_days),
        )
        self._deleted[_key(name)] = deleted
        return deleted

    def get_deleted(self, name: str) -> DeletedSecret:
        """A secret in soft delete, also while it is being purged; 404 as long as the deletion is under way."""
        found = self._find_deleted(_key(name))
        if found is None or self.steady() < found.ready_at:
            raise AzureError(
                404,
                "SecretNotFound",
                f"Deleted Secret not found: {name}. Please check that the secret is in a deleted state.",
            )
        return found

    def list_deleted(self) -> list[DeletedSecret]:
        """All secrets in soft delete, ordered by name."""
        found = [self._find_deleted(key) for key in sorted(self._deleted)]
        return [deleted for deleted in found if deleted and deleted.ready_at <= self.steady()]

    def recover_secret(self, name: str) -> SecretVersion:
        """Bring a secret back from soft delete.

        Raises:
            AzureError: 404 when it is not there; 409 while it is being purged.
        """
        if self.get_deleted(name).gone_at:
            raise _being_deleted(name)
        self._live[_key(name)] = self._deleted.pop(_key(name)).versions
        return self.get_version(name)

    def purge_secret(self, name: str) -> None:
        """Remove a secret for good, which takes a while: until then its name is taken.

        Raises:
            AzureError: 404 when it is not in soft delete; 403 under purge protection; 409 while it is being purged.
        """
        deleted = self.get_deleted(name)
        if self.purge_protection:
            raise AzureError(403, "Forbidden", 'Operation "purge" is not enabled for this vault.')
        if deleted.gone_at:
            raise _being_deleted(name)
        deleted.gone_at = self.steady() + self.settle

    def _find_deleted(self, key: str) -> DeletedSecret | None:
        """The secret that holds a name in soft delete; one whose purge is over is forgotten."""
        found = self._deleted.get(key)
        if found and found.gone_at and self.steady() >= found.gone_at:
            del self._deleted[key]
            return None
        return found


def _being_deleted(name: str) -> AzureError:
    return AzureError(409, "Conflict", f"Secret {name} is currently being deleted.", inner="ObjectIsBeingDeleted")


def _check_limits(tags: Mapping[str, str], content_type: str) -> None:
    """See that tags and content type are within the service's limits.

    https://learn.microsoft.com/azure/key-vault/secrets/about-secrets#secret-tags
    """
    if len(tags) > MOST_TAGS:
        raise AzureError(400, "BadParameter", f"The number of tags must not exceed {MOST_TAGS}.")
    if any(len(text) > MOST_TAG_CHARACTERS for tag in tags.items() for text in tag):
        raise AzureError(400, "BadParameter", f"No part of a tag may exceed {MOST_TAG_CHARACTERS} characters.")
    if len(content_type) > MOST_CONTENT_TYPE_CHARACTERS:
        message = f"The content type must not exceed {MOST_CONTENT_TYPE_CHARACTERS} characters."
        raise AzureError(400, "BadParameter", message)


def _key(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise AzureError(400, "BadParameter", f"The request URI contains an invalid name: {name}")
    return name.lower()
