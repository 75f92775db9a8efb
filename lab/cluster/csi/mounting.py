"""A volume filled by the provider, and the report on it: SecretProviderClassPodStatus."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.cluster.client import POD_STATUSES, PROVIDER_CLASSES, Client, Object
from lab.cluster.csi.definitions import AUDIENCE, GROUP
from lab.cluster.csi.parameters import ProviderError, parse
from lab.cluster.csi.vault import VaultReader
from lab.cluster.node.atomic import AtomicWriter, Content

NODE_LABEL = "internal.secrets-store.csi.k8s.io/node-name"
DEFAULT_MODE = 0o644
Versions = dict[str, str]
"""Object id, as `secret/username`, to the version that is mounted."""


@dataclass(frozen=True)
class Mounted:
    """What a mount came to: the versions, and whether any file changed."""

    versions: Versions
    changed: bool


class Mounting:
    """Mounts volumes and reports on them.

    Args:
        client: the API server's client.
        reader: fetches from vaults.
    """

    def __init__(self, client: Client, reader: VaultReader) -> None:
        self._client, self._reader = client, reader

    async def get_class(self, namespace: str, name: str) -> Object:
        """The SecretProviderClass, checked as far as the driver looks into it.

        Raises:
            ProviderError: it is missing or incomplete; the text is the driver's.
        """
        return check_class(await self._client.find(PROVIDER_CLASSES, namespace, name), namespace, name)

    async def mount(self, provider_class: Object, tokens: str, target: Path, owner: tuple[int, int]) -> Mounted:
        """Let the provider fill `target`.

        Args:
            provider_class: the SecretProviderClass.
            tokens: the pod's service account tokens by audience, as JSON.
            target: the volume.
            owner: uid and gid of its files.

        Raises:
            ProviderError: it could not; the text is what the driver gets from the provider.
        """
        name = provider_class["spec"]["provider"]
        if name != "azure":
            raise ProviderError(f'error connecting to provider "{name}": provider not found: provider "{name}"')
        try:
            request = parse(provider_class["spec"]["parameters"])
            fetched = await self._reader.fetch(request, _assertion(tokens))
        except ProviderError as error:
            text = f"rpc error: code = Unknown desc = failed to mount objects, error: {error}"
            raise ProviderError(text) from None
        files = {item.file_name: Content(item.data, item.permission or DEFAULT_MODE) for item in fetched}
        changed = AtomicWriter(target, owner).write(files)
        return Mounted({item.uid: item.version for item in fetched}, changed)

    async def report(
        self, pod: Object, class_name: str, target: Path, versions: Mapping[str, str], known: Object | None = None
    ) -> Object:
        """Write the SecretProviderClassPodStatus of a pod and class, unless it says so already.

        Args:
            pod: whose.
            class_name: of which SecretProviderClass.
            target: the volume.
            versions: what is mounted.
            known: the report as it is; None: it is asked for.
        """
        meta = pod["metadata"]
        name = f"{meta['name']}-{meta['namespace']}-{class_name}"
        objects = [{"id": key, "version": value} for key, value in sorted(versions.items())]
        status = {
            "podName": meta["name"],
            "secretProviderClassName": class_name,
            "mounted": True,
            "targetPath": str(target),
            "objects": objects,
        }
        reference = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        metadata = {
            "name": name,
            "namespace": meta["namespace"],
            "ownerReferences": [reference],
            "labels": {NODE_LABEL: pod["spec"].get("nodeName", "")},
        }
        body: Object = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "SecretProviderClassPodStatus",
            "metadata": metadata,
            "status": status,
        }
        found = known or await self._client.find(POD_STATUSES, meta["namespace"], name)
        if found is None:
            return await self._client.create(POD_STATUSES, body)
        if found.get("status") == status and _owner_uid(found) == meta["uid"]:
            return found
        body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        return await self._client.replace(POD_STATUSES, body)


def check_class(found: Object | None, namespace: str, name: str) -> Object:
    """Return a SecretProviderClass that was found, checked as far as the driver looks into it.

    Raises:
        ProviderError: it is missing or incomplete; the text is the driver's.
    """
    if found is None:
        text = f'SecretProviderClass.{GROUP} "{name}" not found'
        raise ProviderError(f"failed to get secretproviderclass {namespace}/{name}, error: {text}")
    spec = found.get("spec") or {}
    if not spec.get("provider"):
        raise ProviderError(f"provider not set in {namespace}/{name}")
    if spec.get("parameters") is None:
        raise ProviderError("parameters not set")
    return found


def _assertion(tokens: str) -> str:
    try:
        return str(json.loads(tokens or "{}")[AUDIENCE]["token"])
    except (ValueError, KeyError):
        text = "service account tokens is not set, ensure the CSIDriver has tokenRequests with audience"
        raise ProviderError(f"failed to build auth config for mode None: {text} {AUDIENCE}") from None


def _owner_uid(report: Object) -> str:
    references = report["metadata"].get("ownerReferences") or [{}]
    return str(references[0].get("uid", ""))


def read_files(target: Path) -> dict[str, bytes]:
    """The mounted files by name."""
    if not target.is_dir():
        return {}
    return {name: content.data for name, content in AtomicWriter(target, (0, 0)).read().items()}
