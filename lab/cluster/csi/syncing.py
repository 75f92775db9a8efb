"""Secrets made from mounted files, and their owners.

Up to 1.5 a Secret is created when it is absent and never refreshed here; 1.6 writes it whenever the mount's report
changes. Owners are added a while later, by a patcher of its own: until then a Secret may have none.
"""

import base64
import json
import logging
from pathlib import Path

from lab.cluster.client import SECRETS, ApiError, Client, Object
from lab.cluster.csi.caches import Caches
from lab.cluster.csi.mounting import read_files
from lab.cluster.events import Recorder
from lab.cluster.informer import Key, Queue, key_of
from lab.control.options import DriverGeneration

log = logging.getLogger(__name__)

MANAGED = "secrets-store.csi.k8s.io/managed"


class MissingFile(Exception):
    """A Secret names an object that is not mounted."""


class Syncing:
    """Keeps the Secrets of a node's mounts.

    Args:
        client: the API server's client.
        caches: pods, classes and reports.
        recorder: writes events as the driver.
        generation: which driver this is.
    """

    def __init__(self, client: Client, caches: Caches, recorder: Recorder, generation: DriverGeneration) -> None:
        self._client, self._caches, self._recorder = client, caches, recorder
        self._refreshes = generation is DriverGeneration.REPUBLISH
        self.owner_seconds, self.recheck_seconds = 5.0, 300.0
        self.queue, self._owners = Queue("synced secrets", self._reconcile), Queue("secret owners", self._own)
        caches.reports.on_change(self._report_changed)

    def start(self) -> None:
        """Begin to work."""
        self.queue.start()
        self._owners.start()

    async def stop(self) -> None:
        """Stop working."""
        await self.queue.stop()
        await self._owners.stop()

    def _report_changed(self, report: Object) -> None:
        self.queue.add(key_of(report))
        self._owners.add_after(key_of(report), self.owner_seconds)

    async def _reconcile(self, key: Key) -> None:
        report = self._caches.reports.get(*key)
        if report is None:
            return
        found = await self._caches.find_class(key[0], report["status"]["secretProviderClassName"])
        pod = await self._caches.find_pod(key[0], report["status"]["podName"])
        if found is None or pod is None or pod["metadata"].get("deletionTimestamp"):
            return
        files = read_files(Path(report["status"]["targetPath"]))
        for wanted in found["spec"].get("secretObjects") or []:
            try:
                await self._write(pod, wanted, files)
            except MissingFile as error:
                class_name = f"{key[0]}/{found['metadata']['name']}"
                text = f"failed to get data in spc {class_name} for secret {wanted['secretName']}, err: {error}"
                self._recorder.warning(pod, "FailedToCreateSecret", text)
        self.queue.add_after(key, self.recheck_seconds)
        self._owners.add_after(key, self.owner_seconds)

    async def _write(self, pod: Object, wanted: Object, files: dict[str, bytes]) -> None:
        namespace, name = pod["metadata"]["namespace"], wanted["secretName"].strip()
        body = secret_of(wanted, files, namespace)
        found = await self._client.find(SECRETS, namespace, name)
        try:
            if found is None:
                await self._client.create(SECRETS, body)
                log.info("created secret %s/%s", namespace, name)
            elif self._refreshes:
                await self._client.replace(SECRETS, body)
        except ApiError as error:
            if not error.conflict:
                raise

    async def _own(self, key: Key) -> None:
        """Give the Secrets of a mount the owners of its pod."""
        report = self._caches.reports.get(*key)
        if report is None:
            return
        found = await self._caches.find_class(key[0], report["status"]["secretProviderClassName"])
        pod = await self._caches.find_pod(key[0], report["status"]["podName"])
        if found is None or pod is None:
            return
        for wanted in found["spec"].get("secretObjects") or []:
            await self._add_owners(key[0], wanted["secretName"].strip(), owners_of(pod))

    async def _add_owners(self, namespace: str, name: str, owners: list[Object]) -> None:
        secret = await self._client.find(SECRETS, namespace, name)
        if secret is None:
            return
        known = secret["metadata"].get("ownerReferences") or []
        missing = [owner for owner in owners if all(owner["uid"] != entry["uid"] for entry in known)]
        if missing:
            patch = {"metadata": {"ownerReferences": [*known, *missing]}}
            await self._client.patch(SECRETS, namespace, name, patch)

    async def patch_data(self, namespace: str, wanted: Object, files: dict[str, bytes]) -> None:
        """Bring an existing Secret's data up to date, as the rotation reconciler does it.

        Raises:
            MissingFile: an object is not mounted.
            ApiError: the Secret does not exist, or cannot be written.
        """
        name = wanted["secretName"].strip()
        body = secret_of(wanted, files, namespace)
        secret = await self._client.get(SECRETS, namespace, name)
        if secret.get("data") != body["data"]:
            await self._client.patch(SECRETS, namespace, name, {"data": body["data"]})


def secret_of(wanted: Object, files: dict[str, bytes], namespace: str) -> Object:
    """The Secret that an entry of secretObjects asks for.

    Raises:
        MissingFile: an object is not mounted.
    """
    data = {}
    for entry in wanted.get("data") or []:
        name = entry["objectName"].strip()
        if name not in files:
            raise MissingFile(f"file matching objectName {name} not found in the pod")
        data[entry["key"].strip()] = base64.b64encode(files[name]).decode()
    labels = dict(wanted.get("labels") or {}) | {MANAGED: "true"}
    metadata: Object = {"name": wanted["secretName"].strip(), "namespace": namespace, "labels": labels}
    if wanted.get("annotations"):
        metadata["annotations"] = dict(wanted["annotations"])
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": wanted.get("type") or "Opaque",
        "data": data,
    }


def owners_of(pod: Object) -> list[Object]:
    """The owners that a Secret takes over from a pod; a pod without owners is the owner itself."""
    owners: list[Object] = json.loads(json.dumps(pod["metadata"].get("ownerReferences") or []))
    for owner in owners:
        owner.pop("controller", None)
        owner.pop("blockOwnerDeletion", None)
    meta = pod["metadata"]
    return owners or [{"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}]
