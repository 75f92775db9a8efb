"""Storage accounts, and the containers and blobs in them, by Entra ID tokens alone: no account keys.

https://learn.microsoft.com/azure/storage/blobs/authorize-access-azure-active-directory
"""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.storage import StorageManagementClient, models
from azure.storage.blob import BlobServiceClient, ContentSettings

from infra.azure.arm import ArmKind, AzureKind, as_found, as_taken, get_location, unless_hidden, word
from infra.azure.errors import translated
from infra.errors import Conflict
from infra.provisioning.kinds import Found, OnProgress, R, ignore
from infra.provisioning.resources import Blob, Container, StorageAccount

READER = "Storage Blob Data Reader"


class StorageAccounts(ArmKind[StorageAccount, StorageManagementClient]):
    """Storage accounts."""

    resource = StorageAccount
    action = "Microsoft.Storage/storageAccounts/write"
    unique_in_azure = True
    open_client = StorageManagementClient

    def find(self, wanted: StorageAccount) -> Found | None:
        """Return a storage account, or the objection to its name, or None."""
        found = self._find(wanted.name)
        if found is None:
            return unless_hidden(lambda: self._find_taken(wanted.name))
        return as_found(_seen(found, wanted.name), found.properties and found.properties.provisioning_state)

    def put(self, wanted: StorageAccount, on_progress: OnProgress = ignore) -> None:
        """Make a storage account, or change the existing one; whatever else that has is kept."""
        exists = self._find(wanted.name) is not None
        with self.changing(wanted.name, "change" if exists else "create") as client:
            if exists:
                client.storage_accounts.update(self.group, wanted.name, _changes(wanted))
                return
            poller = client.storage_accounts.begin_create(self.group, wanted.name, _new(wanted))
            self.follow(poller, "Creating", wanted.name, on_progress)

    def _find(self, name: str) -> models.StorageAccount | None:
        return self.look(name, lambda client: client.storage_accounts.get_properties(self.group, name))

    def _find_taken(self, name: str) -> Found | None:
        with (
            translated("Cannot check the storage account's name", name=name, role="Reader", scope="the subscription"),
            self.azure.management(StorageManagementClient) as client,
        ):
            answer = client.storage_accounts.check_name_availability(
                models.StorageAccountCheckNameAvailabilityParameters(name=name)
            )
        return as_taken(answer.name_available, answer.message, answer.reason)


class BlobKind(AzureKind[R]):
    """Base of what is in a storage account."""

    role = "Storage Blob Data Contributor"
    on_data_plane = True

    @contextmanager
    def opened(self, verb: str, wanted: R, role: str) -> Iterator[BlobServiceClient]:
        """Open a client of the resource's account."""
        account = wanted.parent.split("/")[0]
        what, url = f"Cannot {verb} the {self.resource.KIND}", f"https://{account}.{self.azure.cloud.blob_domain}"
        with (
            translated(what, name=wanted.label, role=role, scope=f"the storage account {account}"),
            BlobServiceClient(url, self.azure.credential, **self.azure.client_options()) as client,
        ):
            yield client


class Containers(BlobKind[Container]):
    """Containers of storage accounts."""

    resource = Container

    def find(self, wanted: Container) -> Found | None:
        """Return a container, or None."""
        with self.opened("look at", wanted, READER) as client:
            exists = client.get_container_client(wanted.name).exists()
        return Found(Container(name=wanted.name, parent=wanted.parent)) if exists else None

    def put(self, wanted: Container, on_progress: OnProgress = ignore) -> None:
        """Make a container; an existing one is left as it is."""
        try:
            with self.opened("create", wanted, self.role) as client:
                client.create_container(wanted.name)
        except Conflict as error:
            if error.code != "ContainerAlreadyExists":
                raise


class Blobs(BlobKind[Blob]):
    """Blobs; their parent is ACCOUNT/CONTAINER."""

    resource = Blob

    def find(self, wanted: Blob) -> Found | None:
        """Return a blob's size and MD5, or None."""
        with self.opened("look at", wanted, READER) as client:
            try:
                found = client.get_blob_client(_container(wanted), wanted.name).get_blob_properties()
            except ResourceNotFoundError:
                return None
        md5 = found.content_settings.content_md5
        return Found(
            Blob(
                name=wanted.name,
                parent=wanted.parent,
                size_bytes=found.size,
                md5=bytes(md5).hex() if md5 else None,
            )
        )

    def put(self, wanted: Blob, on_progress: OnProgress = ignore) -> None:
        """Write a blob's content."""
        with self.opened("write", wanted, self.role) as client:
            client.get_blob_client(_container(wanted), wanted.name).upload_blob(
                wanted.content, overwrite=True, content_settings=ContentSettings(content_type="text/plain")
            )

    def read(self, wanted: Blob) -> bytes:
        """Return a blob's content.

        Raises:
            NotFound: account, container or blob does not exist.
            AccessDenied: the caller lacks Storage Blob Data Reader.
        """
        with self.opened("read", wanted, READER) as client:
            return client.get_blob_client(_container(wanted), wanted.name).download_blob().readall()


def _container(blob: Blob) -> str:
    return blob.parent.split("/", 1)[1]


def _new(wanted: StorageAccount) -> models.StorageAccountCreateParameters:
    return models.StorageAccountCreateParameters(
        location=wanted.location,
        kind=wanted.account_kind,
        sku=models.Sku(name=wanted.sku),
        properties=models.StorageAccountPropertiesCreateParameters(
            allow_shared_key_access=wanted.shared_key_access,
            allow_blob_public_access=wanted.public_blobs,
            minimum_tls_version=wanted.minimum_tls,
            default_to_o_auth_authentication=True,
            enable_https_traffic_only=True,
        ),
    )


def _changes(wanted: StorageAccount) -> models.StorageAccountUpdateParameters:
    return models.StorageAccountUpdateParameters(
        sku=models.Sku(name=wanted.sku),
        properties=models.StorageAccountPropertiesUpdateParameters(
            allow_shared_key_access=wanted.shared_key_access,
            allow_blob_public_access=wanted.public_blobs,
            minimum_tls_version=wanted.minimum_tls,
        ),
    )


def _seen(found: models.StorageAccount, name: str) -> StorageAccount:
    """Absent switches are on: that is Azure's default for old accounts."""
    properties = found.properties or models.StorageAccountProperties()
    return StorageAccount(
        name=name,
        location=get_location(found.location),
        account_kind=word(found.kind),
        sku=word(found.sku and found.sku.name),
        shared_key_access=properties.allow_shared_key_access is not False,
        public_blobs=properties.allow_blob_public_access is not False,
        minimum_tls=word(properties.minimum_tls_version),
    )
