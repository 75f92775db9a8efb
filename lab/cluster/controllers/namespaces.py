"""Namespaces: what each one starts with."""

from lab.cluster.client import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from lab.cluster.controllers.common import Context, terminating
from lab.cluster.informer import Key, Queue, key_of

ROOT_CA = "kube-root-ca.crt"
ACCOUNT = "default"


class Namespaces:
    """The service account and root CA controllers.

    Args:
        context: the caches.
        ca_pem: the API server's CA, for the config map that every namespace gets.
    """

    def __init__(self, context: Context, ca_pem: str) -> None:
        self._client, self._ca_pem = context.client, ca_pem
        self._namespaces = context.cache(NAMESPACES)
        self._accounts, self._maps = context.cache(SERVICE_ACCOUNTS), context.cache(CONFIG_MAPS)
        self.queue = Queue("namespace", self._reconcile)
        self._namespaces.on_change(lambda obj: self.queue.add(key_of(obj)))
        for cache in (self._accounts, self._maps):
            cache.on_change(lambda obj: self.queue.add(("", obj["metadata"]["namespace"])))

    async def _reconcile(self, key: Key) -> None:
        namespace = self._namespaces.get(*key)
        if namespace is None or terminating(namespace):
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
