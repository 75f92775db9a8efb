"""Parts of objects with addresses of their own, and requests that leave nothing behind."""

from datetime import timedelta

from aiohttp import web

from infra.lab.cluster.api.errors import method_not_allowed, no_such_resource, not_found
from infra.lab.cluster.api.kinds.kind import Kind, Registry
from infra.lab.cluster.api.objects import metadata, timestamp
from infra.lab.cluster.api.routes.call import Call
from infra.lab.cluster.api.routes.resources import Resources
from infra.lab.cluster.api.schema.types import built_in
from infra.lab.cluster.api.security.tokens import BoundObject, ServiceAccountTokens
from infra.lab.cluster.api.store import Store

_OBJECT_PARTS = ("status", "finalize")


class Subresources:
    """Answers requests for parts of objects."""

    def __init__(self, registry: Registry, store: Store, resources: Resources, tokens: ServiceAccountTokens) -> None:
        self._registry, self._store, self._resources, self._tokens = registry, store, resources, tokens

    async def answer(self, call: Call) -> web.StreamResponse:
        """Lead a request to the part that it names."""
        info = call.info
        kind = self._registry.find(info.group, info.version, info.resource)
        part = kind.find_subresource(info.subresource) if kind else None
        if kind is None or part is None:
            raise no_such_resource()
        if info.verb not in part.verbs:
            raise method_not_allowed()
        if part.name in _OBJECT_PARTS:
            handler = {"get": self._resources.get, "update": self._resources.update, "patch": self._resources.patch}
            return await handler[info.verb](call, kind)
        if part.name == "token":
            return await self._token(call, kind)
        raise no_such_resource()

    async def review(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Answer a review."""
        raise no_such_resource()

    async def _token(self, call: Call, kind: Kind) -> web.StreamResponse:
        found = self._store.find(kind, call.info.namespace, call.info.name)
        if found is None:
            raise not_found(kind.plural, kind.group, call.info.name)
        body, duplicates = await call.body()
        request = call.fit_schema(
            built_in()["io.k8s.api.authentication.v1.TokenRequest"], body, "TokenRequest", "v1", duplicates
        )
        spec = request.get("spec") or {}
        seconds = int(spec.get("expirationSeconds") or 3600)
        bound = {}
        if ref := spec.get("boundObjectRef"):
            bound[ref["kind"].lower()] = BoundObject(ref["kind"], ref["name"], ref.get("uid", ""))
        token, expires = self._tokens.issue(
            call.info.namespace,
            call.info.name,
            metadata(found.obj)["uid"],
            spec.get("audiences") or [],
            timedelta(seconds=seconds),
            bound,
        )
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": call.info.name, "namespace": call.info.namespace},
        }
        return call.json(
            answer | {"spec": spec, "status": {"token": token, "expirationTimestamp": timestamp(expires)}}, 201
        )
