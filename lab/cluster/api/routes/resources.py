"""Requests for objects: create, read, update, patch and delete."""

from aiohttp import web

from lab.cluster.api.errors import (
    bad_request,
    bad_value,
    invalid,
    not_found,
    unsupported_media_type,
    unsupported_patch,
)
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, name_of, namespace_of
from lab.cluster.api.rest.deletion import DeleteOptions, Deleter
from lab.cluster.api.rest.patching import PATCH_TYPES, STRATEGIC_PATCH, Patcher
from lab.cluster.api.rest.reads import list_page
from lab.cluster.api.rest.writes import Writer
from lab.cluster.api.routes.call import Call
from lab.cluster.api.selectors import parse_selection
from lab.cluster.api.store import Store

_RBAC = "rbac.authorization.k8s.io"
_MADE_BY_UPDATE = {
    ("coordination.k8s.io", "leases"),
    *(("", plural) for plural in ("endpoints", "events", "limitranges", "services")),
    *((_RBAC, plural) for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings")),
}
"""Kinds of which an update makes what it does not find."""


class Resources:
    """Answers requests for objects.

    Args:
        store: where they are.
        writer: creates and updates.
        deleter: deletes.
    """

    def __init__(self, store: Store, writer: Writer, deleter: Deleter) -> None:
        self._store, self._writer, self._deleter = store, writer, deleter
        self._patcher = Patcher(writer)

    async def get(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Read an object."""
        found = self._store.find(kind, call.info.namespace if kind.namespaced else "", call.info.name)
        if found is None:
            raise not_found(kind.plural, kind.group, call.info.name)
        return call.answer(found)

    async def list(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Read a collection."""
        page = list_page(self._store, kind, call.info.namespace, call.request.query)
        return call.raw(call.form.many(kind, page.items, page.meta))

    async def create(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Create an object."""
        body = await call.body(kind.schema, kind.kind)
        obj = call.fit(kind, _expected(kind, body))
        namespace = _agreed_namespace(call, kind, obj)
        return call.answer(self._writer.create(kind, namespace, obj, call.write()), 201)

    async def update(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Replace an object."""
        body = await call.body(kind.schema, kind.kind)
        obj = call.fit(kind, _expected(kind, body))
        namespace = _agreed_namespace(call, kind, obj)
        check_name(obj, call.info.name)
        if kind.custom and not obj["metadata"].get("resourceVersion"):
            finding = bad_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(kind.plural, kind.group, call.info.name, [finding])
        if _is_made_by_update(kind, call) and self._store.find(kind, namespace, call.info.name) is None:
            return call.answer(self._writer.create_by_update(kind, namespace, obj, call.write()), 201)
        stored = self._writer.update(kind, namespace, call.info.name, lambda _: obj, call.write())
        return call.answer(stored)

    async def patch(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Change an object."""
        if call.media_type not in PATCH_TYPES:
            raise unsupported_patch()
        if kind.custom and call.media_type == STRATEGIC_PATCH:
            raise unsupported_media_type(PATCH_TYPES[:-1])
        stored, is_new = self._patcher.patch(call, kind, await call.request.read())
        return call.answer(stored, 201 if is_new else 200)

    async def delete(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Delete an object."""
        options = DeleteOptions.of(await call.options_body(), call.request.query)
        namespace = call.info.namespace if kind.namespaced else ""
        deleted = self._deleter.delete(kind, namespace, call.info.name, options)
        if not deleted.is_gone or kind.storage_key in _RETURNED:
            return call.answer(deleted.stored)
        details = {"name": call.info.name, "group": kind.group, "kind": kind.plural}
        details["uid"] = deleted.stored.obj["metadata"]["uid"]
        status: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return call.json(status | {"details": {key: value for key, value in details.items() if value}})

    async def deletecollection(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Delete all objects that a selection names."""
        options = DeleteOptions.of(await call.options_body(), call.request.query)
        query = call.request.query
        selection = parse_selection(kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        chosen = [item for item in self._store.items(kind, call.info.namespace) if selection.matches(item.obj)]
        for item in chosen:
            self._deleter.delete(kind, namespace_of(item.obj), name_of(item.obj), options)
        meta = {"resourceVersion": str(self._store.revision)}
        return call.raw(call.form.many(kind, chosen, meta))


_RETURNED = {("", "pods"), ("", "serviceaccounts"), ("", "services"), ("", "persistentvolumeclaims")}
"""Kinds whose delete answers with the object even when it is gone."""


def check_name(obj: Json, name: str) -> None:
    """An object says the name that its address says.

    Raises:
        ApiError: 400 if it doesn't.
    """
    if not name_of(obj):
        obj.setdefault("metadata", {})["name"] = name
    if name_of(obj) != name:
        raise bad_request(f"the name of the object ({name_of(obj)}) does not match the name on the URL ({name})")


def _expected(kind: Kind, body: Json) -> Json:
    """The body, with kind and apiVersion checked; those it leaves out are what the address says."""
    if kind.custom and not body.get("kind"):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind.kind}): Object 'Kind' is missing"
        )
    said, wanted = body.get("apiVersion") or kind.api_version, kind.api_version
    named = body.get("kind") or kind.kind
    what = f'{named} in version "{kind.version}" cannot be handled as a {kind.kind}'
    if said != wanted:
        why = f'no kind "{named}" is registered for version "{said}" in scheme "pkg/runtime/scheme.go:110"'
        raise bad_request(f"{what}: {why}")
    if named != kind.kind:
        internal = f"{kind.group.partition('.')[0] or 'core'}.{kind.kind}"
        raise bad_request(f"{what}: converting ({kind.version}.{named}) to ({internal}): unknown conversion")
    body["kind"], body["apiVersion"] = kind.kind, wanted
    return body


def _agreed_namespace(call: Call, kind: Kind, obj: Json) -> str:
    if not kind.namespaced:
        return ""
    said = namespace_of(obj)
    if said and said != call.info.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if not call.info.namespace:
        raise bad_request("an empty namespace may not be set during creation")
    obj.setdefault("metadata", {})["namespace"] = call.info.namespace
    return call.info.namespace


def _is_made_by_update(kind: Kind, call: Call) -> bool:
    return kind.storage_key in _MADE_BY_UPDATE and not call.info.subresource
