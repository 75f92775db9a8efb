"""What stands in the files of secret, configMap, downwardAPI and projected volumes."""

import base64
from collections.abc import Mapping
from datetime import datetime

from lab.cluster.client import CONFIG_MAPS, SECRETS, Client, Object, Resource
from lab.cluster.node.atomic import Content
from lab.cluster.node.environment import ConfigError, field_of
from lab.cluster.node.tokens import Tokens

KINDS = ("secret", "configMap", "downwardAPI", "projected")
Files = dict[str, Content]


class MountError(Exception):
    """A volume cannot be set up; the text is the kubelet's, without its beginning."""


class Projections:
    """Gathers the files of such volumes.

    Args:
        client: the API server's client.
        tokens: gives service account tokens.
    """

    def __init__(self, client: Client, tokens: Tokens) -> None:
        self._client, self._tokens = client, tokens

    async def gather(self, pod: Object, volume: Object) -> tuple[Files, datetime | None]:
        """The files of a volume, and when they must be gathered again because a token is due.

        Raises:
            MountError: something that it refers to is missing.
        """
        kind = next(kind for kind in KINDS if volume.get(kind) is not None)
        body = volume[kind]
        mode = body.get("defaultMode", 0o644)
        if kind != "projected":
            return await self._source(pod, {kind: body}, mode)
        files: Files = {}
        due: datetime | None = None
        for source in body.get("sources") or []:
            more, renew_at = await self._source(pod, source, mode)
            files |= more
            due = min((moment for moment in (due, renew_at) if moment), default=None)
        return files, due

    async def _source(self, pod: Object, source: Object, mode: int) -> tuple[Files, datetime | None]:
        if source.get("serviceAccountToken"):
            wish = source["serviceAccountToken"]
            token = await self._tokens.get(pod, wish.get("audience") or "", wish.get("expirationSeconds") or 3600)
            return {wish["path"]: Content(token.value.encode(), mode)}, token.renew_at
        if source.get("downwardAPI") is not None:
            return self._fields(pod, source["downwardAPI"], mode), None
        if source.get("secret") is not None:
            return await self._object(pod, SECRETS, source["secret"], mode), None
        if source.get("configMap") is not None:
            return await self._object(pod, CONFIG_MAPS, source["configMap"], mode), None
        return {}, None

    def _fields(self, pod: Object, body: Object, mode: int) -> Files:
        try:
            return {
                item["path"]: Content(field_of(pod, item["fieldRef"]["fieldPath"]).encode(), item.get("mode", mode))
                for item in body.get("items") or []
                if item.get("fieldRef")
            }
        except ConfigError as error:
            raise MountError(str(error)) from None

    async def _object(self, pod: Object, resource: Resource, body: Object, mode: int) -> Files:
        name = _name_of(body)
        kind = resource.plural.removesuffix("s")
        found = await self._client.find(resource, pod["metadata"]["namespace"], name)
        if found is None:
            if body.get("optional"):
                return {}
            raise MountError(f'{kind} "{name}" not found')
        return _select(_contents(found), body, mode, kind)


def shows(volume: Object, kind: str, name: str) -> bool:
    """Whether a volume shows what stands in a Secret or ConfigMap; `kind` is "secret" or "configMap"."""
    sources = [volume, *((volume.get("projected") or {}).get("sources") or [])]
    return any(_name_of(source[kind]) == name for source in sources if source.get(kind) is not None)


def _name_of(body: Object) -> str:
    return str(body.get("secretName") or body.get("name") or "")


def _contents(obj: Object) -> dict[str, bytes]:
    data = {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
    for key, value in (obj.get("data") or {}).items():
        data[key] = value.encode() if obj.get("kind") == "ConfigMap" else base64.b64decode(value)
    return data


def _select(data: Mapping[str, bytes], body: Object, mode: int, kind: str) -> Files:
    """All keys, or those of `items` under the paths given there."""
    if not body.get("items"):
        return {key: Content(value, mode) for key, value in data.items()}
    files: Files = {}
    for item in body["items"]:
        if item["key"] in data:
            files[item["path"]] = Content(data[item["key"]], item.get("mode", mode))
        elif not body.get("optional"):
            source = "secret" if kind == "secret" else "config"
            raise MountError(f"references non-existent {source} key: {item['key']}")
    return files
