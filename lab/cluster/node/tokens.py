"""Service account tokens for pods, asked of the API server and renewed in time."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lab.cluster.client import SERVICE_ACCOUNTS, Client, Object

RENEW_AT = 0.8
"""The share of its life after which the kubelet renews a token."""


@dataclass(frozen=True)
class Token:
    """A bound service account token and its times."""

    value: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime

    @property
    def renew_at(self) -> datetime:
        """When it is to be renewed."""
        return self.issued_at + (self.expires_at - self.issued_at) * RENEW_AT


class Tokens:
    """Asks for tokens of pods' service accounts and keeps them until they are due."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str, int], Token] = {}

    async def get(self, pod: Object, audience: str = "", seconds: int = 3600) -> Token:
        """A token that is not yet due.

        Args:
            pod: the pod that it is bound to.
            audience: for whom; empty for the API server.
            seconds: its life.

        Raises:
            ApiError: the API server refused.
        """
        key = (pod["metadata"]["uid"], audience, seconds)
        known = self._known.get(key)
        if known is None or datetime.now(UTC) >= known.renew_at:
            known = self._known[key] = await self._request(pod, audience, seconds)
        return known

    def forget(self, pod: Object) -> None:
        """The pod is gone."""
        uid = pod["metadata"]["uid"]
        self._known = {key: token for key, token in self._known.items() if key[0] != uid}

    async def _request(self, pod: Object, audience: str, seconds: int) -> Token:
        meta = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        spec: Object = {
            "audiences": [audience] if audience else [],
            "expirationSeconds": seconds,
            "boundObjectRef": bound,
        }
        account = {"name": pod["spec"].get("serviceAccountName") or "default", "namespace": meta["namespace"]}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": account, "spec": spec}
        issued = datetime.now(UTC)
        answer = await self._client.create(SERVICE_ACCOUNTS, request, "token")
        expires = datetime.fromisoformat(answer["status"]["expirationTimestamp"])
        return Token(answer["status"]["token"], issued, expires)

    async def for_driver(self, pod: Object, requests: Iterable[Object]) -> str:
        """The tokens that a CSIDriver's tokenRequests ask for, as the JSON text that it is handed."""
        tokens = {}
        for request in requests:
            token = await self.get(pod, request["audience"], request.get("expirationSeconds") or 3600)
            expires = token.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")
            tokens[request["audience"]] = {"token": token.value, "expirationTimestamp": expires}
        return json.dumps(tokens)
