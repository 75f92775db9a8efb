"""External Secrets Operator's own objects: what an ExternalSecret reads and keeps, and which vault its store is.

Key Vault does not count the case of names: those of its secrets are in lower case here, and compared so.

https://external-secrets.io/latest/api/externalsecret/
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.deliveries.provider_classes import PINNED_FOR

GROUP = "external-secrets.io"
VERSIONS = ("v1", "v1beta1")
"""The versions that are understood, the newest first; they have the same fields here."""


@dataclass(frozen=True)
class Reference:
    """One thing that an ExternalSecret reads of the vault.

    Args:
        key: the Secret's key that gets it; empty: each field of a JSON value is a key.
        secret: the vault's secret, in lower case.
        version: of the secret; empty: the newest.
        field: of a JSON value; empty: all of the value.
    """

    key: str
    secret: str
    version: str
    field: str

    def pick(self, value: str) -> dict[str, str]:
        """Return what a value brings to the Secret: itself, one of its JSON fields, or all of them."""
        if self.key and not self.field:
            return {self.key: value}
        with suppress(ValueError, AttributeError):
            fields = {name: field for name, field in json.loads(value).items() if isinstance(field, str)}
            if not self.key:
                return fields
            return {self.key: fields[self.field]} if self.field in fields else {}
        return {self.key or "value": value}


@dataclass(frozen=True)
class ExternalSecret:
    """An ExternalSecret.

    Args:
        item: the object.
        references: what it reads.
    """

    item: Object
    references: tuple[Reference, ...]

    @property
    def target(self) -> str:
        """The Secret that it keeps."""
        return str((self.item["spec"].get("target") or {}).get("name") or self.item["metadata"]["name"])

    @property
    def secrets(self) -> frozenset[str]:
        """The vault's secrets that it reads, in lower case."""
        return frozenset(reference.secret for reference in self.references)

    @property
    def pins(self) -> dict[str, str]:
        """Secret's name in lower case -> the version that it names."""
        return {reference.secret: reference.version for reference in self.references if reference.version}

    @property
    def pinned_for(self) -> str:
        """The rotation that pinned it; empty: none."""
        return str((self.item["metadata"].get("annotations") or {}).get(PINNED_FOR, ""))

    @property
    def has_synced_this(self) -> bool:
        """Whether the operator has synced what the object says now."""
        synced = str((self.item.get("status") or {}).get("syncedResourceVersion") or "")
        return synced.partition("-")[0] == str(self.item["metadata"].get("generation"))

    @property
    def complaint(self) -> str:
        """Why it is not ready, in the operator's words; empty if it is."""
        conditions = (self.item.get("status") or {}).get("conditions") or []
        ready = next((condition for condition in conditions if condition["type"] == "Ready"), None)
        if ready is None:
            return "the operator has not looked at it"
        return "" if ready["status"] == "True" else f"{ready.get('reason')}: {ready.get('message')}"[:300]


def read_external_secret(item: Object) -> ExternalSecret:
    """Read one ExternalSecret."""
    found = (
        Reference(key, _name(ref), str(ref.get("version") or ""), str(ref.get("property") or ""))
        for key, ref in _list_refs(item["spec"])
    )
    return ExternalSecret(item, tuple(found))


def find_api(cluster: Cluster) -> str | None:
    """Return the path of the operator's API in the newest version that the cluster serves; None without it."""
    group = cluster.find(f"/apis/{GROUP}") or {}
    served = {entry["version"] for entry in group.get("versions") or []}
    return next((f"/apis/{GROUP}/{version}" for version in VERSIONS if version in served), None)


def read_vault(store: Object) -> str:
    """Return the name of the key vault that a SecretStore reads; empty if it reads none."""
    provider = ((store.get("spec") or {}).get("provider") or {}).get("azurekv") or {}
    return (urlsplit(provider.get("vaultUrl") or "").hostname or "").partition(".")[0]


def refs_of(item: Object) -> Object:
    """Return the parts of a spec that name versions."""
    return {part: item["spec"][part] for part in ("data", "dataFrom") if item["spec"].get(part)}


def with_versions(item: Object, versions: Mapping[str, str]) -> Object:
    """Return the parts of a spec with versions of some secrets, by name in lower case; an empty one: the newest."""
    refs = deepcopy(refs_of(item))
    for _, ref in _list_refs(refs):
        version = versions.get(_name(ref))
        if version:
            ref["version"] = version
        elif version is not None:
            ref.pop("version", None)
    return refs


def _list_refs(spec: Object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each reference with the Secret's key that gets it; empty: each field of the value is a key."""
    yield from ((str(entry["secretKey"]), entry["remoteRef"]) for entry in spec.get("data") or [])
    yield from (("", entry["extract"]) for entry in spec.get("dataFrom") or [] if entry.get("extract"))


def _name(ref: Mapping[str, Any]) -> str:
    return str(ref["key"]).removeprefix("secret/").lower()
