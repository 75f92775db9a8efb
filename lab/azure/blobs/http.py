"""The blob service's HTTP: containers and block blobs that are written at once."""

import re
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from lab.azure.blobs import answers
from lab.azure.blobs.conditions import verify_conditions, verify_digest, verify_served
from lab.azure.blobs.guard import Guard, Right
from lab.azure.blobs.store import Account, StorageStore
from lab.azure.errors import AzureError
from lab.azure.served import NAME_OF, OPERATIONS

_PAGE = 5_000
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
Operation = Callable[[web.Request, Account], Awaitable[web.Response]]


class BlobService:
    """The data plane of all storage accounts; the host says which one is meant.

    Args:
        accounts: the storage accounts.
        guard: decides who may do what.
    """

    def __init__(self, accounts: StorageStore, guard: Guard) -> None:
        self._accounts, self._guard = accounts, guard
        self._operations: dict[tuple[str, str, str], tuple[Right, Operation]] = {
            ("account", "GET", "list"): (Right.LIST_CONTAINERS, _list_containers),
            ("container", "PUT", ""): (Right.CREATE_CONTAINER, _create_container),
            ("container", "GET", ""): (Right.READ_CONTAINER, _show_container),
            ("container", "HEAD", ""): (Right.READ_CONTAINER, _show_container),
            ("container", "DELETE", ""): (Right.DELETE_CONTAINER, _delete_container),
            ("container", "GET", "list"): (Right.LIST_BLOBS, _list_blobs),
            ("blob", "PUT", ""): (Right.WRITE_BLOB, _put_blob),
            ("blob", "GET", ""): (Right.READ_BLOB, _get_blob),
            ("blob", "HEAD", ""): (Right.READ_BLOB, _get_blob),
            ("blob", "DELETE", ""): (Right.DELETE_BLOB, _delete_blob),
        }

    def app(self) -> web.Application:
        """The application for *.blob.core.windows.net."""
        app = web.Application()
        app[OPERATIONS] = [_name(*served) for served in self._operations]
        app[NAME_OF] = self._name_of
        app.router.add_route("*", "/", self._handle)
        app.router.add_route("*", "/{container}", self._handle)
        app.router.add_route("*", "/{container}/{blob:.+}", self._handle)
        return app

    def _name_of(self, request: web.Request) -> str:
        asked = (_kind(request), request.method, request.query.get("comp", ""))
        return _name(*asked) if asked in self._operations else ""

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            answer = await self._answer(request)
        except AzureError as refusal:
            return answers.error(request, refusal)
        answer.headers.update(answers.common_headers(request))
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        name = (request.url.host or "").partition(".")[0]
        account = self._accounts.find(name)
        if account is None:
            raise AzureError(404, "ResourceNotFound", "The specified resource does not exist.")
        known = self._operations.get((_kind(request), request.method, request.query.get("comp", "")))
        if known is None:
            # Even what this service does not have is refused first to callers without a right.
            self._guard.verify(request, account, Right.READ_BLOB, request.match_info.get("container", ""))
            raise AzureError(405, "UnsupportedHttpVerb", "The resource doesn't support specified Http Verb.")
        right, operation = known
        kind = _kind(request)
        self._guard.verify(request, account, right, request.match_info.get("container", ""))
        verify_served(request, kind)
        return await operation(request, account)


def _name(kind: str, method: str, comp: str) -> str:
    paths = {"account": "/", "container": "/{container}?restype=container", "blob": "/{container}/{blob}"}
    mark = "&" if "?" in paths[kind] else "?"
    return f"{method} {paths[kind]}{mark + 'comp=' + comp if comp else ''}"


def _kind(request: web.Request) -> str:
    if "blob" in request.match_info:
        return "blob"
    return "container" if request.query.get("restype") == "container" else "account"


async def _list_containers(request: web.Request, account: Account) -> web.Response:
    names, following = _page(request, account.containers)
    body = answers.container_list(account, [account.containers[name] for name in names], following)
    return web.Response(body=body, content_type="application/xml")


async def _create_container(request: web.Request, account: Account) -> web.Response:
    made = account.create_container(request.match_info["container"])
    return web.Response(status=201, headers={"ETag": made.etag, "Last-Modified": answers.http_date(made.created)})


async def _show_container(request: web.Request, account: Account) -> web.Response:
    container = account.get_container(request.match_info["container"])
    return web.Response(headers=answers.container_headers(container))


async def _delete_container(request: web.Request, account: Account) -> web.Response:
    account.delete_container(request.match_info["container"])
    return web.Response(status=202)


async def _list_blobs(request: web.Request, account: Account) -> web.Response:
    container = account.get_container(request.match_info["container"])
    names, following = _page(request, container.blobs)
    page, prefix = [container.blobs[name] for name in names], request.query.get("prefix", "")
    body = answers.blob_list(account, container, page, prefix, following)
    return web.Response(body=body, content_type="application/xml")


def _page(request: web.Request, present: Iterable[str]) -> tuple[list[str], str]:
    """The names that are asked for, and the one at which the next page begins."""
    prefix, marker, size = (request.query.get(name, "") for name in ("prefix", "marker", "maxresults"))
    if size and not (size.isdigit() and int(size) > 0):
        text = "One of the query parameters specified in the request URI is outside the permissible range."
        raise AzureError(400, "OutOfRangeQueryParameterValue", text)
    most = min(int(size or _PAGE), _PAGE)
    names = [name for name in sorted(present) if name.startswith(prefix) and name >= marker]
    return names[:most], names[most] if len(names) > most else ""


async def _put_blob(request: web.Request, account: Account) -> web.Response:
    container, name = account.get_container(request.match_info["container"]), request.match_info["blob"]
    if request.headers.get("x-ms-blob-type") != "BlockBlob":
        raise AzureError(400, "InvalidHeaderValue", "The value for x-ms-blob-type is not in the correct format.")
    verify_conditions(request, container.blobs.get(name))
    content_type = request.headers.get("x-ms-blob-content-type", request.headers.get("Content-Type", ""))
    metadata = {key[10:]: value for key, value in request.headers.items() if key.lower().startswith("x-ms-meta-")}
    content = await request.read()
    verify_digest(request, content)
    blob = container.put_blob(name, content, account.now(), content_type, metadata)
    headers = {
        "ETag": blob.etag,
        "Last-Modified": answers.http_date(blob.modified),
        "Content-MD5": blob.content_md5,
        "x-ms-request-server-encrypted": "true",
    }
    return web.Response(status=201, headers=headers)


async def _get_blob(request: web.Request, account: Account) -> web.Response:
    blob = account.get_container(request.match_info["container"]).get_blob(request.match_info["blob"])
    verify_conditions(request, blob)
    headers = {**answers.blob_headers(blob), "Content-Type": blob.content_type}
    wanted = request.headers.get("x-ms-range") or request.headers.get("Range")
    if request.method == "HEAD" or not wanted:
        headers["Content-MD5"] = blob.content_md5
        if request.method == "HEAD":
            headers["Content-Length"] = str(len(blob.content))
        return web.Response(headers=headers, body=None if request.method == "HEAD" else blob.content)
    start, end = _range(wanted, len(blob.content))
    headers["Content-Range"] = f"bytes {start}-{end}/{len(blob.content)}"
    headers["x-ms-blob-content-md5"] = blob.content_md5
    return web.Response(status=206, headers=headers, body=blob.content[start : end + 1])


def _range(header: str, size_bytes: int) -> tuple[int, int]:
    """First and last byte of a range, cut off at the end of the blob."""
    found = _RANGE.fullmatch(header)
    start = int(found[1]) if found else 0
    if not found or start >= size_bytes:
        raise AzureError(
            416,
            "InvalidRange",
            "The range specified is invalid for the current size of the resource.",
            headers={"Content-Range": f"bytes */{size_bytes}"},
        )
    return start, min(int(found[2]) if found[2] else size_bytes - 1, size_bytes - 1)


async def _delete_blob(request: web.Request, account: Account) -> web.Response:
    container, name = account.get_container(request.match_info["container"]), request.match_info["blob"]
    verify_conditions(request, container.get_blob(name))
    container.delete_blob(name)
    return web.Response(status=202, headers={"x-ms-delete-type-permanent": "true"})
