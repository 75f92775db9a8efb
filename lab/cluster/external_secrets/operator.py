"""The operator: it waits for its custom resources, then keeps the Secret of each ExternalSecret equal to the vault.

One ExternalSecret is reconciled at a time, its references one after the other, each by the newest version unless it
names one: https://external-secrets.io/latest/api/externalsecret/
"""

import base64
import hashlib
import json
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from lab.cluster.client import SECRETS, SERVICE_ACCOUNTS, Client, Object, Resource
from lab.cluster.csi.definitions import AUDIENCE
from lab.cluster.csi.parameters import ProviderError, VaultObject, VaultRequest
from lab.cluster.csi.vault import Fetched, VaultReader
from lab.cluster.events import timestamp
from lab.cluster.informer import AddOn, Informer, Key, key_of

GROUP = "external-secrets.io"
EXTERNAL_SECRETS = Resource(f"{GROUP}/v1", "externalsecrets")
STORES = {
    "SecretStore": Resource(f"{GROUP}/v1", "secretstores"),
    "ClusterSecretStore": Resource(f"{GROUP}/v1", "clustersecretstores", namespaced=False),
}
HASH = "reconcile.external-secrets.io/data-hash"
IDENTITY = "azure.workload.identity/"
DEFAULT_INTERVAL = "1h0m0s"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


class SyncFailed(Exception):
    """An ExternalSecret cannot be synced; the text is what its condition says."""


@dataclass(frozen=True)
class Entry:
    """One value of a Secret: its key, and where it comes from. An empty key: every field of a JSON value."""

    key: str
    remote: Object


class Operator(AddOn):
    """External Secrets Operator in one cluster.

    Args:
        client: an administrator's client of the API server.
        https_proxy: URL of the proxy that leads to Entra and Key Vault.
        ca_bundle: file with the certificates to trust.
        tenant_id: where identities are looked for unless a store or a service account names another tenant.
    """

    def __init__(self, client: Client, https_proxy: str, ca_bundle: Path, tenant_id: str) -> None:
        self._tenant_id = tenant_id
        self._reader = VaultReader(https_proxy, ssl.create_default_context(cafile=str(ca_bundle)))
        external, secrets = Informer(client, EXTERNAL_SECRETS), Informer(client, SECRETS)
        super().__init__(client, f"externalsecrets.{GROUP}", external, secrets)
        external.on_change(lambda found: self._queue.add(key_of(found)))
        secrets.on_change(self._secret_changed)

    async def stop(self) -> None:
        """Stop working; Secrets stay as they are."""
        await super().stop()
        await self._reader.close()

    def _secret_changed(self, secret: Object) -> None:
        for owner in secret["metadata"].get("ownerReferences") or []:
            if owner["kind"] == "ExternalSecret":
                self._queue.add((secret["metadata"]["namespace"], owner["name"]))

    async def _reconcile(self, key: Key) -> None:
        external = await self._client.find(EXTERNAL_SECRETS, *key)
        if external is None or external["metadata"].get("deletionTimestamp"):
            return
        secret = await self._client.find(SECRETS, key[0], _target_of(external))
        wait = _seconds_left(external, secret, datetime.now(UTC))
        if wait is None or wait > 0:
            if wait:
                self._queue.add_after(key, wait)
            return
        try:
            data = await self._fetch(external)
            await self._write(external, secret, data)
        except (SyncFailed, ProviderError, aiohttp.ClientError, TimeoutError) as error:
            await self._report(external, "False", "SecretSyncedError", f"error processing spec.data: {error}")
            self._queue.add_after(key, 1.0)
            return
        await self._report(external, "True", "SecretSynced", "secret synced")
        interval = _interval_of(external)
        if interval:
            self._queue.add_after(key, interval)

    async def _fetch(self, external: Object) -> dict[str, bytes]:
        """Read every value, in order; one that fails fails all."""
        entries = list(_entries_of(external["spec"]))
        request, assertion = await self._sign_in(external, entries)
        found = await self._reader.fetch(request, assertion)
        data: dict[str, bytes] = {}
        for entry, fetched in zip(entries, found, strict=True):
            data |= _pick(entry, fetched)
        return data

    async def _sign_in(self, external: Object, entries: list[Entry]) -> tuple[VaultRequest, str]:
        """Find the store, and ask for a token of its service account."""
        namespace, reference = external["metadata"]["namespace"], external["spec"].get("secretStoreRef") or {}
        kind, name = reference.get("kind") or "SecretStore", reference.get("name", "")
        store = await self._client.find(STORES[kind], namespace if kind == "SecretStore" else "", name)
        if store is None:
            raise SyncFailed(f'could not get {kind} "{name}", {kind}.{GROUP} "{name}" not found')
        provider = ((store.get("spec") or {}).get("provider") or {}).get("azurekv") or {}
        account = provider.get("serviceAccountRef") or {}
        if provider.get("authType") != "WorkloadIdentity" or not account:
            raise SyncFailed("missing clientID/clientSecret in store config")
        where = (account.get("namespace") or namespace) if kind == "ClusterSecretStore" else namespace
        found = await self._client.find(SERVICE_ACCOUNTS, where, account["name"])
        annotations = ((found or {}).get("metadata") or {}).get("annotations") or {}
        client_id = annotations.get(f"{IDENTITY}client-id", "")
        if not client_id:
            raise SyncFailed(f"missing service account annotation: {IDENTITY}client-id")
        tenant = provider.get("tenantId") or annotations.get(f"{IDENTITY}tenant-id") or self._tenant_id
        vault = provider["vaultUrl"].removeprefix("https://").partition(".")[0]
        objects = tuple(
            VaultObject(entry.remote["key"].removeprefix("secret/"), "secret", version=entry.remote.get("version", ""))
            for entry in entries
        )
        return VaultRequest(vault, tenant, client_id, objects), await self._request_token(where, account["name"])

    async def _request_token(self, namespace: str, account: str) -> str:
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": account, "namespace": namespace},
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": 3600},
        }
        answer = await self._client.create(SERVICE_ACCOUNTS, request, "token")
        return str(answer["status"]["token"])

    async def _write(self, external: Object, secret: Object | None, values: dict[str, bytes]) -> None:
        meta = external["metadata"]
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        owner = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ExternalSecret",
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        metadata: Object = {
            "name": _target_of(external),
            "namespace": meta["namespace"],
            "annotations": {HASH: _hash(data)},
            "labels": {"reconcile.external-secrets.io/managed": "true"},
            "ownerReferences": [owner],
        }
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
        if secret is None:
            await self._client.create(SECRETS, body)
        elif secret.get("data") != data or _hash_of(secret) != _hash(data):
            await self._client.replace(SECRETS, body)

    async def _report(self, external: Object, status: str, reason: str, message: str) -> None:
        """Write the condition; only what was synced has a time and a version."""
        meta, now = external["metadata"], timestamp()
        condition = {"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": now}
        body: Object = {"conditions": [condition]}
        if status == "True":
            body |= {"refreshTime": now, "syncedResourceVersion": _version_of(external)}
            body |= {"binding": {"name": _target_of(external)}}
        elif _condition_of(external) == (status, reason, message):
            return
        patch = {"status": body}
        await self._client.patch(EXTERNAL_SECRETS, meta["namespace"], meta["name"], patch, subresource="status")


def _target_of(external: Object) -> str:
    return str((external["spec"].get("target") or {}).get("name") or external["metadata"]["name"])


def _entries_of(spec: Object) -> list[Entry]:
    entries = [Entry(entry["secretKey"], entry["remoteRef"]) for entry in spec.get("data") or []]
    return entries + [Entry("", entry["extract"]) for entry in spec.get("dataFrom") or [] if entry.get("extract")]


def _pick(entry: Entry, fetched: Fetched) -> dict[str, bytes]:
    """The Secret's data that one value makes: itself, one of its properties, or all of them."""
    name = entry.remote["key"]
    if entry.key and not entry.remote.get("property"):
        return {entry.key: fetched.data}
    try:
        fields = json.loads(fetched.data)
        if not entry.key:
            return {key: _text(value).encode() for key, value in fields.items()}
        return {entry.key: _text(fields[entry.remote["property"]]).encode()}
    except (ValueError, AttributeError):
        raise SyncFailed(f"unable to unmarshal secret {name}: not a JSON object") from None
    except KeyError:
        raise SyncFailed(f"property {entry.remote['property']} does not exist in key {name}") from None


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _seconds_left(external: Object, secret: Object | None, now: datetime) -> float | None:
    """How long an ExternalSecret stays as it is: 0 if it is to be synced now, None if only a change is a reason."""
    status, policy = external.get("status") or {}, external["spec"].get("refreshPolicy") or "Periodic"
    is_synced = bool(status.get("syncedResourceVersion"))
    if policy == "CreatedOnce":
        return None if is_synced else 0
    if status.get("syncedResourceVersion") != _version_of(external) or not _is_valid(secret):
        return 0
    interval = _interval_of(external)
    if policy == "OnChange" or not interval:
        return None
    passed = (now - datetime.fromisoformat(status["refreshTime"])).total_seconds()
    return max(0.0, interval - passed)


def _is_valid(secret: Object | None) -> bool:
    """Whether the Secret is as it was written."""
    return secret is not None and _hash_of(secret) == _hash(secret.get("data") or {})


def _hash_of(secret: Object) -> str:
    return str((secret["metadata"].get("annotations") or {}).get(HASH, ""))


def _hash(data: Object) -> str:
    return hashlib.sha3_224(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _version_of(external: Object) -> str:
    """What was synced: the generation, and a hash of annotations and labels; so an annotation is a reason to sync."""
    meta = external["metadata"]
    tags = {name: meta.get(name) or {} for name in ("annotations", "labels")}
    return f"{meta.get('generation', 0)}-{hashlib.sha3_224(json.dumps(tags, sort_keys=True).encode()).hexdigest()}"


def _condition_of(external: Object) -> tuple[str, str, str]:
    conditions = (external.get("status") or {}).get("conditions") or []
    ready: Object = next((condition for condition in conditions if condition["type"] == "Ready"), {})
    return ready.get("status", ""), ready.get("reason", ""), ready.get("message", "")


def _interval_of(external: Object) -> float:
    """Seconds of a refresh interval such as 1h0m0s; 0: never."""
    text, seconds, number = external["spec"].get("refreshInterval") or DEFAULT_INTERVAL, 0.0, ""
    for letter in text:
        if letter in _UNITS:
            seconds, number = seconds + float(number or 0) * _UNITS[letter], ""
        else:
            number += letter
    return seconds
