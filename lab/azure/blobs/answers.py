"""What the blob service answers: headers of blobs, lists and errors, as XML.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.etree.ElementTree import Element, SubElement, tostring

from aiohttp import web

from lab.azure.blobs.store import Account, Blob, Container
from lab.azure.errors import AzureError


def http_date(moment: datetime) -> str:
    """A time as HTTP headers have it."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def common_headers(request: web.Request) -> dict[str, str]:
    """What every answer carries."""
    headers = {"x-ms-request-id": str(uuid.uuid4()), "x-ms-version": request.headers.get("x-ms-version", "2009-09-19")}
    if "x-ms-client-request-id" in request.headers:
        headers["x-ms-client-request-id"] = request.headers["x-ms-client-request-id"]
    return headers


def blob_headers(blob: Blob) -> dict[str, str]:
    """The properties of a blob as headers."""
    return {
        "Last-Modified": http_date(blob.modified),
        "ETag": blob.etag,
        "Accept-Ranges": "bytes",
        "x-ms-creation-time": http_date(blob.created),
        "x-ms-blob-type": "BlockBlob",
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-server-encrypted": "true",
        **{f"x-ms-meta-{name}": value for name, value in blob.metadata.items()},
    }


def container_headers(container: Container) -> dict[str, str]:
    """The properties of a container as headers."""
    return {
        "Last-Modified": http_date(container.created),
        "ETag": container.etag,
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-has-immutability-policy": "false",
        "x-ms-has-legal-hold": "false",
    }


def error(request: web.Request, refusal: AzureError) -> web.Response:
    """An error in the blob service's form; a HEAD gets its headers alone."""
    headers = {**common_headers(request), **refusal.headers, "x-ms-error-code": refusal.code}
    root = Element("Error")
    SubElement(root, "Code").text = refusal.code
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
    SubElement(root, "Message").text = f"{refusal.message}\nRequestId:{headers['x-ms-request-id']}\nTime:{moment}"
    body = b"" if request.method == "HEAD" else _xml(root)
    return web.Response(status=refusal.status, headers=headers, body=body, content_type="application/xml")


def blob_list(account: Account, container: Container, blobs: Iterable[Blob], prefix: str, marker: str) -> bytes:
    """One page of a container's blobs; `marker` is where the next one starts, empty at the end."""
    root = _enumeration(account)
    root.set("ContainerName", container.name)
    if prefix:
        SubElement(root, "Prefix").text = prefix
    items = SubElement(root, "Blobs")
    for blob in blobs:
        item = SubElement(items, "Blob")
        SubElement(item, "Name").text = blob.name
        _properties(item, _properties_of_blob(blob))
    SubElement(root, "NextMarker").text = marker or None
    return _xml(root)


def container_list(account: Account, containers: Iterable[Container], marker: str) -> bytes:
    """One page of an account's containers; `marker` is where the next one starts, empty at the end."""
    root = _enumeration(account)
    items = SubElement(root, "Containers")
    for container in containers:
        item = SubElement(items, "Container")
        SubElement(item, "Name").text = container.name
        headers = container_headers(container)
        _properties(item, {"Last-Modified": headers["Last-Modified"], "Etag": container.etag})
    SubElement(root, "NextMarker").text = marker or None
    return _xml(root)


def _properties_of_blob(blob: Blob) -> dict[str, str]:
    return {
        "Creation-Time": http_date(blob.created),
        "Last-Modified": http_date(blob.modified),
        "Etag": blob.etag.strip('"'),
        "Content-Length": str(len(blob.content)),
        "Content-Type": blob.content_type,
        "Content-MD5": blob.content_md5,
        "BlobType": "BlockBlob",
        "AccessTier": "Hot",
        "LeaseStatus": "unlocked",
        "LeaseState": "available",
        "ServerEncrypted": "true",
    }


def _properties(item: Element, properties: dict[str, str]) -> None:
    parent = SubElement(item, "Properties")
    for name, value in properties.items():
        SubElement(parent, name).text = value


def _enumeration(account: Account) -> Element:
    return Element("EnumerationResults", {"ServiceEndpoint": f"https://{account.name}.blob.core.windows.net/"})


def _xml(root: Element) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?>{tostring(root, encoding="unicode")}'.encode()
