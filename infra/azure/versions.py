"""Versions of secrets as facts, without their values, and what one run remembers of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from azure.keyvault.secrets import SecretProperties

from infra.rotation.attributes import Attributes

EPOCH = datetime.fromtimestamp(0, UTC)
Digests = tuple[Mapping[str, bytes], ...]


@dataclass(frozen=True)
class SecretVersion:
    """One version of a secret, without its value.

    Args:
        name: the secret's name.
        version: the version's id, 32 hexadecimal digits.
        enabled: whether it can be read.
        created_at: when it was written; Key Vault counts whole seconds.
        attributes: its content type, expiry and tags.
        updated_at: when it or its tags were written last.
    """

    name: str
    version: str
    enabled: bool
    created_at: datetime
    attributes: Attributes = field(default_factory=Attributes)
    updated_at: datetime = field(default=EPOCH, compare=False)

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags."""
        return self.attributes.tags


def read_properties(name: str, properties: SecretProperties) -> SecretVersion:
    """Return a version as the SDK describes it."""
    return SecretVersion(
        name=name,
        version=properties.version or "",
        enabled=bool(properties.enabled),
        created_at=properties.created_on or EPOCH,
        attributes=Attributes(
            content_type=properties.content_type or "",
            expires_at=properties.expires_on,
            not_before=properties.not_before,
            tags=dict(properties.tags or {}),
        ),
        updated_at=properties.updated_on or EPOCH,
    )


class VersionMemory:
    """What one run knows of one vault's versions: it has listed them once, and has made every later change itself.

    A version that somebody else writes is seen by the next look at the newest one, and then they are listed anew. So
    they are after a write that failed or that the SDK has repeated: an attempt without an answer may have written a
    version, too. Never values. Names of secrets are compared without case, as Key Vault does.
    """

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, SecretVersion]] = {}
        self._latest: dict[str, SecretVersion] = {}
        self._absent: set[str] = set()
        self._copies: dict[str, tuple[dict[str, str], Digests]] = {}

    def find_latest(self, name: str) -> SecretVersion | None:
        """Return the newest version that was seen or written; None if none was."""
        return self._latest.get(name.lower())

    def find_all(self, name: str) -> list[SecretVersion] | None:
        """Return all versions, newest first, if they were listed and the newest one is known."""
        listed, latest = self._listed.get(name.lower()), self.find_latest(name)
        if listed is None or latest is None or latest.version not in listed:
            return None
        older = [version for version in reversed(listed.values()) if version.version != latest.version]
        return [latest, *sorted(older, key=lambda version: version.created_at, reverse=True)]

    def find(self, name: str, version: str) -> SecretVersion | None:
        """Return a version that was listed; None if it was not."""
        return self._listed.get(name.lower(), {}).get(version)

    def keep_all(self, name: str, versions: list[SecretVersion]) -> None:
        """Remember all versions of a secret."""
        self._listed[name.lower()] = {version.version: version for version in versions}

    def keep_latest(self, version: SecretVersion) -> None:
        """Remember what is the newest version now."""
        self._absent.discard(version.name.lower())
        self._latest[version.name.lower()] = version
        self._update(version, self._listed.get(version.name.lower(), {}))

    def keep_written(self, version: SecretVersion) -> None:
        """Remember a version that this run has written, which is the newest."""
        self._listed.get(version.name.lower(), {})[version.version] = version
        self.keep_latest(version)

    def keep_changed(self, version: SecretVersion) -> None:
        """Remember a version that this run has changed."""
        latest = self.find_latest(version.name)
        if latest and latest.version == version.version:
            self._latest[version.name.lower()] = version
        self._update(version, self._listed.get(version.name.lower(), {}))

    def is_absent(self, name: str) -> bool:
        """Tell whether there is no such secret, as it was seen last, or because this run has deleted it."""
        return name.lower() in self._absent

    def keep_absent(self, name: str) -> None:
        """Remember that there is no such secret."""
        self.forget(name)
        self._absent.add(name.lower())

    def keep_copy(self, place: str, names: Iterable[str], digests: Digests) -> None:
        """Remember what a place outside the vault must hold to have the newest values, as digests."""
        self._copies[place] = self._find_ids(names), digests

    def find_copy(self, place: str, names: Iterable[str]) -> Digests | None:
        """Return what a place must hold to have the newest values that this run knows of; None if it is not known."""
        ids, digests = self._copies.get(place, (None, None))
        return digests if ids == self._find_ids(names) else None

    def _find_ids(self, names: Iterable[str]) -> dict[str, str]:
        return {name: latest.version for name in names if (latest := self.find_latest(name))}

    def forget(self, name: str) -> None:
        """Forget a secret."""
        self._absent.discard(name.lower())
        self._listed.pop(name.lower(), None)
        self._latest.pop(name.lower(), None)

    @staticmethod
    def _update(version: SecretVersion, listed: dict[str, SecretVersion]) -> None:
        if version.version in listed:
            listed[version.version] = version
