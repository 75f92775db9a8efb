"""Storage accounts, their containers and blobs. Raises the blob service's own errors and knows nothing of HTTP."""

import base64
import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lab.azure.errors import AzureError

_CONTAINER_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9](?:-?[a-z0-9])*")


@dataclass(frozen=True)
class Blob:
    """A block blob."""

    name: str
    content: bytes = field(repr=False)
    content_type: str
    created: datetime
    modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    etag: str = field(default_factory=lambda: f'"0x{uuid.uuid4().hex[:15].upper()}"')

    @property
    def content_md5(self) -> str:
        """The MD5 of the content in base64, as the service gives it back."""
        return base64.b64encode(hashlib.md5(self.content, usedforsecurity=False).digest()).decode()


@dataclass
class Container:
    """A container and its blobs."""

    name: str
    created: datetime
    blobs: dict[str, Blob] = field(default_factory=dict, repr=False)
    etag: str = field(default_factory=lambda: f'"0x{uuid.uuid4().hex[:15].upper()}"')

    def get_blob(self, name: str) -> Blob:
        """The blob of this name.

        Raises:
            AzureError: 404 BlobNotFound.
        """
        if name not in self.blobs:
            raise AzureError(404, "BlobNotFound", "The specified blob does not exist.")
        return self.blobs[name]

    def put_blob(
        self,
        name: str,
        content: bytes,
        now: datetime,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Blob:
        """Write a blob, in the place of one that has its name."""
        created = self.blobs[name].created if name in self.blobs else now
        blob = Blob(name, content, content_type or "application/octet-stream", created, now, dict(metadata or {}))
        self.blobs[name] = blob
        return blob

    def delete_blob(self, name: str) -> None:
        """Remove a blob; 404 BlobNotFound when there is none."""
        self.get_blob(name)
        del self.blobs[name]


@dataclass
class Account:
    """A storage account.

    Args:
        name: its name, the first label of its host.
        resource_id: its ARM id; containers are `/blobServices/default/containers/NAME` below it.
        location: its region.
        now: the clock.
    """

    name: str
    resource_id: str
    location: str
    now: Callable[[], datetime] = field(repr=False)
    containers: dict[str, Container] = field(default_factory=dict)

    def scope_of(self, container: str) -> str:
        """The ARM id of a container, there or not."""
        return f"{self.resource_id}/blobServices/default/containers/{container}"

    def find_container(self, name: str) -> Container | None:
        """The container of this name, if there is one."""
        return self.containers.get(name)

    def get_container(self, name: str) -> Container:
        """The container of this name.

        Raises:
            AzureError: 404 ContainerNotFound.
        """
        if name not in self.containers:
            raise AzureError(404, "ContainerNotFound", "The specified container does not exist.")
        return self.containers[name]

    def create_container(self, name: str) -> Container:
        """Create an empty container.

        Raises:
            AzureError: 400 InvalidResourceName; 409 ContainerAlreadyExists.
        """
        if not _CONTAINER_NAME.fullmatch(name):
            raise AzureError(400, "InvalidResourceName", "The specified resource name contains invalid characters.")
        if name in self.containers:
            raise AzureError(409, "ContainerAlreadyExists", "The specified container already exists.")
        self.containers[name] = Container(name, self.now())
        return self.containers[name]

    def delete_container(self, name: str) -> None:
        """Remove a container with its blobs; 404 ContainerNotFound when there is none."""
        self.get_container(name)
        del self.containers[name]


class StorageStore:
    """All storage accounts of the lab.

    Args:
        now: the clock.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._accounts: dict[str, Account] = {}

    def create(self, resource_id: str, name: str, location: str) -> Account:
        """Create an empty account.

        Raises:
            AzureError: 409 StorageAccountAlreadyTaken.
        """
        if name in self._accounts:
            raise AzureError(409, "StorageAccountAlreadyTaken", f"The storage account named {name} is already taken.")
        self._accounts[name] = Account(name, resource_id, location, self._now)
        return self._accounts[name]

    def find(self, name: str) -> Account | None:
        """The account of this name, if there is one."""
        return self._accounts.get(name)

    def live(self) -> list[Account]:
        """All accounts."""
        return list(self._accounts.values())

    def delete(self, name: str) -> None:
        """Remove an account with all that it holds; an unknown one is ignored."""
        self._accounts.pop(name, None)
