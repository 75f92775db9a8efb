"""What the providers share, and the call that they are handed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.azure.access import Access
from lab.azure.arm.ids import Path
from lab.azure.arm.operations import Operations
from lab.azure.arm.registration import Registrations
from lab.azure.arm.store import Store
from lab.azure.backends import Backends
from lab.azure.blobs.store import StorageStore
from lab.azure.directory import Directory, Principal
from lab.azure.key_vault.store import VaultStore
from lab.control.options import LabOptions


@dataclass(frozen=True)
class Context:
    """The lab's parts as a provider sees them."""

    options: LabOptions
    directory: Directory
    access: Access
    backends: Backends
    vaults: VaultStore
    storage: StorageStore
    store: Store
    operations: Operations
    registrations: Registrations
    now: Callable[[], datetime]


@dataclass(frozen=True)
class Call:
    """One authorised request.

    Args:
        method: GET, PUT and so on.
        path: what it names.
        query: its query parameters, names in lower case.
        body: its JSON object, empty when it has none. May hold secrets: never kept as it is.
        caller: who asks.
        origin: scheme and host of the request, for URLs in answers.
    """

    method: str
    path: Path
    query: Mapping[str, str]
    body: dict[str, Any]
    caller: Principal
    origin: str

    @property
    def api_version(self) -> str:
        """The API version that was asked for, one that its provider has."""
        return self.query.get("api-version", "")
