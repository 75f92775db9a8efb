"""What a request to the blob service may say: the headers and queries that are served, and conditions.

Whatever the lab would drop is refused, with the service's own codes for what it does not support.
https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations
"""

import base64
import hashlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from aiohttp import web

from lab.azure.blobs.store import Blob
from lab.azure.errors import AzureError

_KEPT = ("cache-control", "content-encoding", "content-language", "content-disposition", "content-md5")
"""Headers of HTTP that a write keeps with its blob, or checks."""
_ALWAYS = ("x-ms-client-request-id", "x-ms-date", "x-ms-return-client-request-id", "x-ms-version")
_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
_HEADERS = {
    ("blob", "PUT"): (
        *("x-ms-blob-type", "x-ms-blob-content-type", "x-ms-blob-content-md5", "content-md5", "x-ms-meta-"),
        *_CONDITIONS,
    ),
    ("blob", "GET"): ("x-ms-range", "range", *_CONDITIONS),
    ("blob", "HEAD"): _CONDITIONS,
    ("blob", "DELETE"): ("x-ms-delete-snapshots", *_CONDITIONS),
}
"""Kind and method -> the headers that have an effect; one that ends with a hyphen stands for all that begin so."""
_QUERIES = {
    ("container", "GET", "list"): {"restype", "comp", "prefix", "marker", "maxresults", "timeout"},
    ("account", "GET", "list"): {"comp", "prefix", "marker", "maxresults", "timeout"},
}
_NO_LIST = {"restype", "comp", "timeout"}


def verify_served(request: web.Request, kind: str) -> None:
    """Raise a 400 for a header or a query that would have an effect in Azure and has none here.

    Raises:
        AzureError: UnsupportedHeader or UnsupportedQueryParameter.
    """
    served = (*_ALWAYS, *_HEADERS.get((kind, request.method), ()))
    for name in (header.lower() for header in request.headers):
        has_effect = name.startswith(("x-ms-", "if-")) or (request.method == "PUT" and name in _KEPT)
        if has_effect and not any(name == known or (known[-1] == "-" and name.startswith(known)) for known in served):
            text = "One of the HTTP headers specified in the request is not supported."
            raise AzureError(400, "UnsupportedHeader", f"{text} HeaderName: {name}.")
    known = _QUERIES.get((kind, request.method, request.query.get("comp", "")), _NO_LIST)
    for name, value in request.query.items():
        if value and name.lower() not in known:
            text = "One of the query parameters specified in the request URI is not supported."
            raise AzureError(400, "UnsupportedQueryParameter", f"{text} QueryParameterName: {name}.")


def verify_digest(request: web.Request, content: bytes) -> None:
    """Raise a 400 unless the content is what its MD5 in the headers says."""
    digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    for name in ("Content-MD5", "x-ms-blob-content-md5"):
        if request.headers.get(name, digest) != digest:
            text = "The MD5 value specified in the request did not match with the MD5 value calculated by the server."
            raise AzureError(400, "Md5Mismatch", text)


def verify_conditions(request: web.Request, present: Blob | None) -> None:
    """Raise unless all conditions of a request hold.

    Raises:
        AzureError: 304 or 412 ConditionNotMet; 409 BlobAlreadyExists.
    """
    is_read = request.method in ("GET", "HEAD")
    if present and request.headers.get("If-None-Match") == "*" and not is_read:
        raise AzureError(409, "BlobAlreadyExists", "The specified blob already exists.")
    if not _matches(request, present) or not _is_unmodified(request, present):
        raise _not_met(412)
    if not _differs(request, present) or not _is_modified(request, present):
        raise _not_met(304 if is_read else 412)


def _matches(request: web.Request, present: Blob | None) -> bool:
    wanted = request.headers.get("If-Match")
    return wanted is None or (present is not None and wanted in ("*", present.etag))


def _differs(request: web.Request, present: Blob | None) -> bool:
    unwanted = request.headers.get("If-None-Match")
    return unwanted is None or present is None or unwanted not in ("*", present.etag)


def _is_modified(request: web.Request, present: Blob | None) -> bool:
    since = _date(request, "If-Modified-Since")
    return since is None or present is None or present.modified.replace(microsecond=0) > since


def _is_unmodified(request: web.Request, present: Blob | None) -> bool:
    since = _date(request, "If-Unmodified-Since")
    return since is None or present is None or present.modified.replace(microsecond=0) <= since


def _date(request: web.Request, name: str) -> datetime | None:
    text = request.headers.get(name)
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC)
    except ValueError:
        message = "The value for one of the HTTP headers is not in the correct format."
        raise AzureError(400, "InvalidHeaderValue", f"{message} HeaderName: {name}.") from None


def _not_met(status: int) -> AzureError:
    text = "The condition specified using HTTP conditional header(s) is not met."
    return AzureError(status, "ConditionNotMet", text)
