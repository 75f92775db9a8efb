"""Namespaces: what each one starts with, and how one ends with everything in it."""

from infra.lab.cluster.client import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS, Client, Object, Resource
from infra.lab.cluster.controllers.common import Context, terminating
from infra.lab.cluster.informer import Key, Queue, key_of

ROOT_CA = "kube-root-ca.crt"
ACCOUNT = "default"
AGAIN_SECONDS = 0.25
"""How soon a namespace that waits for its contents is looked at again."""
SKIPPED = ("events", "bindings", "localsubjectaccessreviews")


class Namespaces:
    """The service account, root CA and namespace controllers.

    Args:
        context: the caches.
        ca_pem: the API server's CA, for the config map that every namespace gets.
        ends: whether namespaces on their way out are emptied here.
    """

    def __init__(self, context: Context, ca_pem: str, *, ends: bool) -> None:
        self._client, self._ca_pem, self._ends = context.client, ca_pem, ends
        self._namespaces = context.cache(NAMESPACES)
        self._accounts, self._maps = context.cache(SERVICE_ACCOUNTS), context.cache(CONFIG_MAPS)
        self.queue = Queue("namespace", self._reconcile)
        self._namespaces.on_change(lambda obj: self.queue.add(key_of(obj)))
        for cache in (self._accounts, self._maps):
            cache.on_change(lambda obj: self.queue.add(("", obj["metadata"]["namespace"])))

    async def _reconcile(self, key: Key) -> None:
        namespace = self._namespaces.get(*key)
        if namespace is None:
            return
        if terminating(namespace):
            if self._ends:
                await self._end(namespace)
            return
        name = key[1]
        if self._accounts.get(name, ACCOUNT) is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": name}}
            self._accounts.take(await self._client.create(SERVICE_ACCOUNTS, account))
        if self._maps.get(name, ROOT_CA) is None:
            content = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": ROOT_CA, "namespace": name},
                "data": {"ca.crt": self._ca_pem},
            }
            self._maps.take(await self._client.create(CONFIG_MAPS, content))

    async def _end(self, namespace: Object) -> None:
        """Delete the contents; when nothing is left, let the namespace go."""
        name = namespace["metadata"]["name"]
        left = 0
        for resource in await list_deletable(self._client):
            items = (await self._client.list(resource, name))["items"]
            left += len(items)
            for item in items:
                if not terminating(item):
                    await self._client.delete(resource, name, item["metadata"]["name"], uid=item["metadata"]["uid"])
        if left:
            self.queue.add_after(key_of(namespace), AGAIN_SECONDS)
            return
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}}
        await self._client.replace(NAMESPACES, body, "finalize")


async def list_deletable(client: Client) -> list[Resource]:
    """Every namespaced collection that the API server has and that can be emptied, custom ones included."""
    versions = ["v1"]
    for group in (await client.request("GET", "/apis"))["groups"]:
        versions.append(group["preferredVersion"]["groupVersion"])
    found: dict[tuple[str, str], Resource] = {}
    for version in versions:
        path = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        for entry in (await client.request("GET", path))["resources"]:
            usable = entry["namespaced"] and {"list", "delete"} <= set(entry["verbs"]) and "/" not in entry["name"]
            if usable and entry["name"] not in SKIPPED:
                found[version.split("/")[0], entry["name"]] = Resource(version, entry["name"])
    return list(found.values())
