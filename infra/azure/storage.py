"""Storage accounts, and the containers and blobs in them, by Entra ID tokens alone: no account keys.

https://learn.microsoft.com/azure/storage/blobs/authorize-access-azure-active-directory
"""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.storage import StorageManagementClient, models
from azure.storage.blob import BlobServiceClient, ContentSettings

from infra.azure.credentials import connection, managed, signed_in
from infra.azure.errors import translated
from infra.azure.names import get_location
from infra.azure.operations import OnProgress, finish, get_state, ignore
from infra.errors import Conflict, NotFound
from infra.provisioning.plan import Found, State
from infra.provisioning.resources import Blob, Container, StorageAccount
from infra.settings import Settings

READER, WRITER = "Storage Blob Data Reader", "Storage Blob Data Contributor"


def find_account(name: str, group: str, settings: Settings) -> Found | None:
    """Return a storage account, or what speaks against its name, or None."""
    with managed(StorageManagementClient, settings) as client:
        try:
            with translated("Cannot look at the storage account", name=name, role="Reader", scope=group):
                found = client.storage_accounts.get_properties(group, name)
        except NotFound:
            return _find_taken(client, name)
    said = _word(found.properties and found.properties.provisioning_state)
    return Found(_seen(found, name), get_state(said), said)


def put_account(wanted: StorageAccount, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Make a storage account, or change the one that is there; all else of that one is kept."""
    found = find_account(wanted.name, group, settings)
    with (
        translated("Cannot create the storage account", name=wanted.name, role="Contributor", scope=group),
        managed(StorageManagementClient, settings) as client,
    ):
        if found is not None and found.resource is not None:
            client.storage_accounts.update(group, wanted.name, _changes(wanted))
            return
        poller = client.storage_accounts.begin_create(group, wanted.name, _new(wanted))
        finish(poller, f"Creating the storage account {wanted.name}", on_progress)


def find_container(name: str, account: str, settings: Settings) -> Found | None:
    """Return a container, or None."""
    with _opened("Cannot look at the container", account, name, READER, settings) as client:
        there = client.get_container_client(name).exists()
    return Found(Container(name=name, parent=account)) if there else None


def put_container(wanted: Container, settings: Settings) -> None:
    """Make a container; one that is there is left at that."""
    try:
        with _opened("Cannot create the container", wanted.parent, wanted.name, WRITER, settings) as client:
            client.create_container(wanted.name)
    except Conflict as error:
        if error.code != "ContainerAlreadyExists":
            raise


def find_blob(name: str, container: str, account: str, settings: Settings) -> Found | None:
    """Return a blob's size and MD5, or None."""
    with _opened("Cannot look at the blob", account, f"{container}/{name}", READER, settings) as client:
        try:
            found = client.get_blob_client(container, name).get_blob_properties()
        except ResourceNotFoundError:
            return None
    md5 = found.content_settings.content_md5
    return Found(
        Blob(name=name, parent=f"{account}/{container}", size_bytes=found.size, md5=bytes(md5).hex() if md5 else None)
    )


def put_blob(wanted: Blob, content: bytes, settings: Settings) -> None:
    """Write a blob's content; `wanted.parent` is ACCOUNT/CONTAINER."""
    account, container = wanted.parent.split("/", 1)
    with _opened("Cannot write the blob", account, f"{container}/{wanted.name}", WRITER, settings) as client:
        client.get_blob_client(container, wanted.name).upload_blob(
            content, overwrite=True, content_settings=ContentSettings(content_type="text/plain")
        )


def read_blob(name: str, container: str, account: str, settings: Settings) -> bytes:
    """Return a blob's content.

    Raises:
        NotFound: account, container or blob does not exist.
        AccessDenied: the caller lacks Storage Blob Data Reader.
    """
    with _opened("Cannot read the blob", account, f"{container}/{name}", READER, settings) as client:
        return client.get_blob_client(container, name).download_blob().readall()


@contextmanager
def _opened(what: str, account: str, name: str, role: str, settings: Settings) -> Iterator[BlobServiceClient]:
    url = f"https://{account}.blob.core.windows.net"
    with (
        translated(what, name=f"{account}/{name}", role=role, scope=f"the storage account {account}"),
        signed_in(settings) as owner,
        BlobServiceClient(url, owner, **connection(settings)) as client,
    ):
        yield client


def _find_taken(client: StorageManagementClient, name: str) -> Found | None:
    with translated("Cannot check the storage account's name", name=name, role="Reader", scope="the subscription"):
        answer = client.storage_accounts.check_name_availability(
            models.StorageAccountCheckNameAvailabilityParameters(name=name)
        )
    if answer.name_available:
        return None
    return Found(None, State.TAKEN, answer.message or "", _word(answer.reason))


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
        account_kind=_word(found.kind),
        sku=_word(found.sku and found.sku.name),
        shared_key_access=properties.allow_shared_key_access is not False,
        public_blobs=properties.allow_blob_public_access is not False,
        minimum_tls=_word(properties.minimum_tls_version),
    )


def _word(value: object) -> str:
    """Return an SDK's enumerated value, which may be a plain string, as a string."""
    return str(getattr(value, "value", value) or "")
