"""Garbage collection: an object goes when all of its owners are gone.

Foreground and orphan deletion as well: the finalizers that the API server sets are worked off here.
"""

import asyncio

from infra.lab.cluster import client as api
from infra.lab.cluster.client import Object, Resource
from infra.lab.cluster.controllers.common import CACHED, Context, terminating
from infra.lab.cluster.informer import Informer, Key, Queue, cancel, key_of

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
KINDS = {
    "Pod": api.PODS,
    "Node": api.NODES,
    "Namespace": api.NAMESPACES,
    "Service": api.SERVICES,
    "Secret": api.SECRETS,
    "ConfigMap": api.CONFIG_MAPS,
    "ServiceAccount": api.SERVICE_ACCOUNTS,
    "Deployment": api.DEPLOYMENTS,
    "ReplicaSet": api.REPLICA_SETS,
    "SecretProviderClass": api.PROVIDER_CLASSES,
}


class Garbage:
    """The garbage collector, over the cached kinds and the mount reports of the CSI driver."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._extra = Informer(context.client, api.POD_STATUSES)
        self._caches = [*(context.cache(resource) for resource in CACHED), self._extra]
        self._queues: list[Queue] = []
        self._following: asyncio.Task[None] | None = None
        for cache in self._caches:
            self._follow(cache)

    def _follow(self, cache: Informer) -> None:
        async def reconcile(key: Key) -> None:
            await self._reconcile(cache, key)

        queue = Queue(f"garbage {cache.resource.plural}", reconcile)
        self._queues.append(queue)

        def changed(obj: Object) -> None:
            queue.add(key_of(obj))
            if cache.get(*key_of(obj)) is None:
                self._owner_gone(obj)

        cache.on_change(changed)

    def _owner_gone(self, owner: Object) -> None:
        for cache, queue in zip(self._caches, self._queues, strict=True):
            for obj in cache:
                if _reference_to(obj, owner):
                    queue.add(key_of(obj))

    async def start(self) -> None:
        """Begin to work; the CSI driver's reports are followed as soon as there are any."""
        self._following = asyncio.create_task(self._extra.start(), name="informer of mount reports")
        for queue in self._queues:
            queue.start()

    async def stop(self) -> None:
        """Stop working."""
        await cancel(self._following)
        await self._extra.stop()
        for queue in self._queues:
            await queue.stop()

    async def _reconcile(self, cache: Informer, key: Key) -> None:
        obj = cache.get(*key)
        if obj is None:
            return
        finalizers = obj["metadata"].get("finalizers") or []
        if terminating(obj) and ORPHAN in finalizers:
            await self._orphan(cache, obj)
        elif terminating(obj) and FOREGROUND in finalizers:
            await self._delete_foreground(cache, obj)
        elif not terminating(obj):
            await self._collect(cache.resource, obj)
        else:
            self._owner_gone(obj)

    async def _collect(self, resource: Resource, obj: Object) -> None:
        """Delete an object whose owners are all gone; a dead reference beside a live owner is left to be."""
        meta = obj["metadata"]
        references = meta.get("ownerReferences") or []
        if not references:
            return
        for reference in references:
            if await self._alive(reference, meta.get("namespace", "")):
                return
        await self._client.delete(resource, meta.get("namespace", ""), meta["name"], uid=meta["uid"])

    async def _alive(self, reference: Object, namespace: str) -> bool:
        """Asked of the API server: a cache may not have seen a new owner yet."""
        resource = KINDS.get(reference["kind"])
        if resource is None:
            return True
        owner = await self._client.find(resource, namespace if resource.namespaced else "", reference["name"])
        return owner is not None and owner["metadata"]["uid"] == reference["uid"]

    def _dependents(self, owner: Object) -> list[tuple[Resource, Object]]:
        return [(cache.resource, obj) for cache in self._caches for obj in cache if _reference_to(obj, owner)]

    async def _delete_foreground(self, cache: Informer, owner: Object) -> None:
        dependents = self._dependents(owner)
        for resource, obj in dependents:
            meta = obj["metadata"]
            if not terminating(obj):
                await self._client.delete(resource, meta["namespace"], meta["name"], uid=meta["uid"])
        if not dependents:
            await self._drop_finalizer(cache, owner, FOREGROUND)
        else:
            self._queues[self._caches.index(cache)].add_after(key_of(owner), 0.2)

    async def _orphan(self, cache: Informer, owner: Object) -> None:
        for resource, obj in self._dependents(owner):
            meta = obj["metadata"]
            kept = [entry for entry in meta["ownerReferences"] if entry["uid"] != owner["metadata"]["uid"]]
            patch = {"metadata": {"uid": meta["uid"], "ownerReferences": kept or None}}
            await self._client.patch(resource, meta["namespace"], meta["name"], patch)
        await self._drop_finalizer(cache, owner, ORPHAN)

    async def _drop_finalizer(self, cache: Informer, owner: Object, finalizer: str) -> None:
        meta = owner["metadata"]
        left = [entry for entry in meta["finalizers"] if entry != finalizer]
        patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": left or None}}
        await self._client.patch(cache.resource, meta.get("namespace", ""), meta["name"], patch)


def _reference_to(obj: Object, owner: Object) -> bool:
    references = obj["metadata"].get("ownerReferences") or []
    return any(entry["uid"] == owner["metadata"]["uid"] for entry in references)
