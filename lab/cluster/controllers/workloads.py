"""What the controllers of workloads do alike: they follow what they own, write statuses and events, and make pods.

self._jobs = Workloads(context, JOBS, "Job", "job-controller")
self._pods = Pods(context, self._jobs)
self.queue = Queue("job", self._reconcile)
self._jobs.follow(self.queue, PODS)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lab.cluster.client import PODS, ApiError, Object, Resource
from lab.cluster.controllers.common import Context, controller_of, owned_by, owner_reference
from lab.cluster.informer import Key, Queue, key_of


class Workloads:
    """One kind of workload.

    Args:
        context: the caches.
        resource: its collection.
        kind: its kind, as "Job".
        component: who writes events about it.
    """

    def __init__(self, context: Context, resource: Resource, kind: str, component: str) -> None:
        self._context, self._resource, self._kind = context, resource, kind
        self._cache, self._recorder = context.cache(resource), context.recorder(component)

    def __iter__(self) -> Iterator[Object]:
        return iter(self._cache)

    def get(self, key: Key) -> Object | None:
        """The workload, as far as is known."""
        return self._cache.get(*key)

    def follow(self, queue: Queue, *owned: Resource) -> None:
        """Have a workload looked at whenever it, or what it owns of these collections, changes."""

        def owned_changed(obj: Object) -> None:
            key = self.key_of_owner(obj)
            if key is not None:
                queue.add(key)

        self._cache.on_change(lambda obj: queue.add(key_of(obj)))
        for resource in owned:
            self._context.cache(resource).on_change(owned_changed)

    def key_of_owner(self, obj: Object) -> Key | None:
        """The workload of this kind that controls an object."""
        owner = controller_of(obj)
        if owner is None or owner["kind"] != self._kind:
            return None
        return obj["metadata"]["namespace"], owner["name"]

    def reference(self, owner: Object) -> Object:
        """A reference that makes a workload the controller."""
        return owner_reference(owner, self._resource.group_version, self._kind)

    def normal(self, owner: Object, reason: str, message: str) -> None:
        """Tell that something happened to a workload."""
        self._recorder.normal(self._named(owner), reason, message)

    def warning(self, owner: Object, reason: str, message: str) -> None:
        """Tell that something went wrong with a workload."""
        self._recorder.warning(self._named(owner), reason, message)

    async def write_status(self, owner: Object, status: Object) -> None:
        """Write a workload's whole status, unless somebody has changed it in between."""
        changed = await self._context.client.replace(self._resource, owner | {"status": status}, "status")
        self._cache.take(changed)

    def take(self, owner: Object) -> None:
        """Take over a workload that a write returned."""
        self._cache.take(owner)

    def _named(self, owner: Object) -> Object:
        """With its kind, which lists leave out."""
        return {"apiVersion": self._resource.group_version, "kind": self._kind, **owner}


@dataclass(frozen=True)
class Words:
    """What the events about pods say: `{pod}`, `{owner}` and `{error}` are replaced."""

    created: str = "Created pod: {pod}"
    failed: str = "Error creating: {error}"
    deleted: str = "Deleted pod: {pod}"


class Pods:
    """The pods of one kind of workload.

    Args:
        context: the caches.
        owners: whose they are.
        words: what the events say.
    """

    def __init__(self, context: Context, owners: Workloads, words: Words = Words()) -> None:
        self._client, self._cache, self._owners, self._words = context.client, context.cache(PODS), owners, words

    def of(self, owner: Object) -> list[Object]:
        """All pods that a workload controls."""
        return [pod for pod in self._cache if owned_by(pod, owner)]

    async def create(
        self,
        owner: Object,
        template: Object,
        *,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        spec: Object | None = None,
    ) -> Object:
        """Make a pod.

        Args:
            owner: whose it is.
            template: the pod template.
            name: its name; a generated one if empty.
            labels: more than the template's.
            spec: in the place of the template's.

        Raises:
            ApiError: the API server refused; an event tells of it.
        """
        meta, given = owner["metadata"], template.get("metadata") or {}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "spec": template["spec"] if spec is None else spec,
            "metadata": {
                **({"name": name} if name else {"generateName": f"{meta['name']}-"}),
                "namespace": meta["namespace"],
                "labels": (given.get("labels") or {}) | dict(labels or {}),
                "annotations": given.get("annotations") or {},
                "ownerReferences": [self._owners.reference(owner)],
            },
        }
        try:
            created = await self._client.create(PODS, pod)
        except ApiError as error:
            self._owners.warning(owner, "FailedCreate", self._say(self._words.failed, owner, name, error.message))
            raise
        self._cache.take(created)
        text = self._say(self._words.created, owner, created["metadata"]["name"])
        self._owners.normal(owner, "SuccessfulCreate", text)
        return created

    async def delete(self, owner: Object, pod: Object) -> None:
        """Delete a pod, if it is still the same one."""
        meta = pod["metadata"]
        deleted = await self._client.delete(PODS, meta["namespace"], meta["name"], uid=meta["uid"])
        if deleted is not None and deleted.get("kind") == "Pod":
            self._cache.take(deleted)
        self._owners.normal(owner, "SuccessfulDelete", self._say(self._words.deleted, owner, meta["name"]))

    def _say(self, words: str, owner: Object, pod: str, error: str = "") -> str:
        return words.format(pod=pod, owner=owner["metadata"]["name"], error=error)
