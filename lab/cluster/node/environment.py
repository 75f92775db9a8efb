"""The environment of a container: variables, references to Secrets, ConfigMaps and fields, and the lab's own."""

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from lab.cluster.client import CONFIG_MAPS, SECRETS, Client, Object, Resource

NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
PROXY_NAMES = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
CA_NAMES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")


class ConfigError(Exception):
    """CreateContainerConfigError: what the environment refers to is not there."""


def lab_environment(proxy: str, ca_bundle: str, address: str, api_url: str) -> dict[str, str]:
    """What leads a container to the local Azure and to the API server.

    Args:
        proxy: URL of the pod's proxy.
        ca_bundle: where the CA bundle is inside.
        address: the pod's address, which is not proxied.
        api_url: the API server, which is not proxied either.
    """
    server = urlsplit(api_url)
    host, port = server.hostname or "", str(server.port or 443)
    bypass = f"{address},{host}"
    variables = dict.fromkeys(PROXY_NAMES, proxy) | dict.fromkeys(CA_NAMES, ca_bundle)
    service = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "KUBERNETES_SERVICE_PORT_HTTPS": port}
    return variables | service | {"NO_PROXY": bypass, "no_proxy": bypass}


def field_of(pod: Object, path: str) -> str:
    """What the downward API says for `path`, as `metadata.labels['app']`.

    Raises:
        ConfigError: there is no such field.
    """
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    subscript = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if subscript:
        return str((meta.get(subscript[1]) or {}).get(subscript[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = meta.get(path.split(".")[1]) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(entries.items()))
    fields = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": status.get("hostIP", ""),
        "status.podIP": status.get("podIP", ""),
        "status.podIPs": status.get("podIP", ""),
    }
    if path not in fields:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(fields[path])


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; unknown names stay, `$$` is a dollar."""
    return REFERENCE.sub(lambda m: "$" if m[0] == "$$" else known.get(m[1], m[0]), text)


class Environment:
    """Builds environments, asking the API server for what they refer to."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def build(self, pod: Object, container: Object, given: Mapping[str, str]) -> dict[str, str]:
        """The variables of a container over those that image and lab give.

        Raises:
            ConfigError: a reference leads nowhere; the text is the kubelet's.
        """
        namespace = pod["metadata"]["namespace"]
        variables = dict(given)
        for source in container.get("envFrom") or []:
            variables |= await self._all_of(namespace, source)
        for entry in container.get("env") or []:
            if entry.get("valueFrom"):
                value = await self._value_from(pod, container, entry["valueFrom"])
                if value is not None:
                    variables[entry["name"]] = value
            else:
                variables[entry["name"]] = expand(entry.get("value") or "", variables)
        return variables

    async def _all_of(self, namespace: str, source: Object) -> dict[str, str]:
        resource, reference = (
            (SECRETS, source["secretRef"]) if source.get("secretRef") else (CONFIG_MAPS, source["configMapRef"])
        )
        data = await self._data(resource, namespace, reference)
        prefix = source.get("prefix") or ""
        return {prefix + key: value for key, value in (data or {}).items() if NAME.fullmatch(prefix + key)}

    async def _value_from(self, pod: Object, container: Object, source: Object) -> str | None:
        if source.get("fieldRef"):
            return field_of(pod, source["fieldRef"]["fieldPath"])
        if source.get("resourceFieldRef"):
            return _resource(container, source["resourceFieldRef"])
        resource, kind, reference = (
            (SECRETS, "Secret", source["secretKeyRef"])
            if source.get("secretKeyRef")
            else (CONFIG_MAPS, "ConfigMap", source["configMapKeyRef"])
        )
        namespace = pod["metadata"]["namespace"]
        data = await self._data(resource, namespace, reference)
        if data is None:
            return None
        if reference["key"] not in data:
            if reference.get("optional"):
                return None
            raise ConfigError(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")
        return data[reference["key"]]

    async def _data(self, resource: Resource, namespace: str, reference: Object) -> dict[str, str] | None:
        found = await self._client.find(resource, namespace, reference["name"])
        if found is None:
            if reference.get("optional"):
                return None
            raise ConfigError(f'{resource.plural.removesuffix("s")} "{reference["name"]}" not found')
        return decode(found)


def decode(obj: Object) -> dict[str, str]:
    """The values of a Secret or ConfigMap as text."""
    data: dict[str, Any] = obj.get("data") or {}
    if obj.get("kind") == "ConfigMap":
        return data
    return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in data.items()}


def _resource(container: Object, reference: Object) -> str:
    section, _, name = reference["resource"].partition(".")
    return str(((container.get("resources") or {}).get(section) or {}).get(name, "0"))
