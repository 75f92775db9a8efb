"""What the driver follows instead of asking at every poll: pods, classes and its own reports, as the real one does."""

from lab.cluster.client import POD_STATUSES, PODS, PROVIDER_CLASSES, Client, Object
from lab.cluster.informer import Informer


class Caches:
    """The driver's caches.

    Args:
        client: the API server's client.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.reports = Informer(client, POD_STATUSES)
        self._classes, self._pods = Informer(client, PROVIDER_CLASSES), Informer(client, PODS)

    async def start(self) -> None:
        """Follow them; the kinds exist. Returns when the first lists are in."""
        for informer in (self._pods, self._classes, self.reports):
            await informer.start()

    async def stop(self) -> None:
        """Stop following."""
        for informer in (self.reports, self._classes, self._pods):
            await informer.stop()

    async def find_class(self, namespace: str, name: str) -> Object | None:
        """Return a SecretProviderClass, or None. One that is not known yet is asked for."""
        return self._classes.get(namespace, name) or await self._client.find(PROVIDER_CLASSES, namespace, name)

    async def find_pod(self, namespace: str, name: str) -> Object | None:
        """Return a pod, or None. One that is not known yet is asked for."""
        pod = self._pods.get(namespace, name) or await self._client.find(PODS, namespace, name)
        # Items of a list do not say what they are, and events need it.
        return None if pod is None else {"apiVersion": "v1", "kind": "Pod", **pod}
