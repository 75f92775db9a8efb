"""What the Azure provider reads from a SecretProviderClass, with its checks in its order and its words. Pure.

https://github.com/Azure/secrets-store-csi-driver-provider-azure/blob/v1.8.2/pkg/provider/provider.go
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

CLOUDS = ("", "AZUREPUBLICCLOUD", "AZURECLOUD")
VAULT_NAME = re.compile(r"[-a-zA-Z0-9]{3,24}")
MODES = {
    "usePodIdentity": "PodIdentity",
    "useVMManagedIdentity": "VMManagedIdentity",
    "useAzureTokenProxy": "AzureTokenProxy",
}
REFUSALS = {
    "None": "failed to get credentials, nodePublishSecretRef secret is not set",
    "PodIdentity": "the lab has workload identity alone",
    "VMManagedIdentity": "the lab has workload identity alone",
    "AzureTokenProxy": "clientID is required for identity binding",
}
"""Why there is no way to sign in, by the mode."""
TYPES = ("secret", "key", "cert")
ENCODINGS = ("", "utf-8", "hex", "base64")
FORMATS = ("", "pem", "pfx")


class ProviderError(Exception):
    """The provider cannot mount; the text is its own."""


@dataclass(frozen=True)
class VaultObject:
    """One entry of `objects`."""

    name: str
    kind: str
    alias: str = ""
    version: str = ""
    history: int = 0
    encoding: str = ""
    permission: int | None = None

    @property
    def file_name(self) -> str:
        """Where it is mounted."""
        return self.alias or self.name

    @property
    def uid(self) -> str:
        """How SecretProviderClassPodStatus names it."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class VaultRequest:
    """What is to be fetched, from where, as whom."""

    vault: str
    tenant_id: str
    client_id: str
    objects: tuple[VaultObject, ...]


def parse(parameters: Mapping[str, str]) -> VaultRequest:
    """Check the parameters of a SecretProviderClass.

    Raises:
        ProviderError: something is missing or wrong.
    """
    vault = _get(parameters, "keyvaultName")
    tenant = _get(parameters, "tenantID") or _get(parameters, "tenantId")
    modes = [mode for name, mode in MODES.items() if _flag(parameters, name)]
    if len(modes) > 1:
        *first, last = MODES
        raise ProviderError(f"only one identity mode can be enabled at a time: {', '.join(first)}, or {last}")
    if not vault:
        raise ProviderError("keyvaultName is not provided")
    if not tenant:
        raise ProviderError("tenantId is not provided")
    cloud = _get(parameters, "cloudName")
    if cloud.upper() not in CLOUDS:
        text = f'autorest/azure: There is no cloud environment matching the name "{cloud.upper()}"'
        raise ProviderError(f"cloudName {cloud} is not valid, error: {text}")
    client = _get(parameters, "clientID")
    if modes or not client:
        mode = modes[0] if modes else "None"
        raise ProviderError(f"failed to build auth config for mode {mode}: {REFUSALS[mode]}")
    objects = _parse_objects(_get(parameters, "objects"))
    if not VAULT_NAME.fullmatch(vault):
        raise ProviderError(f'failed to get vault: Invalid vault name: "{vault}", must match [-a-zA-Z0-9]{{3,24}}')
    return VaultRequest(vault, tenant, client, objects)


def _get(parameters: Mapping[str, str], name: str) -> str:
    return (parameters.get(name) or "").strip()


def _flag(parameters: Mapping[str, str], name: str) -> bool:
    text = _get(parameters, name)
    if text.lower() in ("", "false", "f", "0"):
        return False
    if text.lower() in ("true", "t", "1"):
        return True
    raise ProviderError(f'failed to parse {name} flag, error: strconv.ParseBool: parsing "{text}": invalid syntax')


@lru_cache
def _parse_objects(text: str) -> tuple[VaultObject, ...]:
    if not text:
        raise ProviderError("objects is not set")
    try:
        entries = (yaml.safe_load(text) or {})["array"] or []
        if not isinstance(entries, list):
            raise TypeError(f"yaml: unmarshal errors: cannot unmarshal {entries!r} into []string")
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ProviderError(f"failed to yaml unmarshal objects, error: {_first_line(error)}") from None
    return tuple(_parse_object(entry, index) for index, entry in enumerate(entries))


def _parse_object(entry: Any, index: int) -> VaultObject:
    try:
        fields = yaml.safe_load(entry) if isinstance(entry, str) else entry
        text = {key: "" if value is None else str(value).strip() for key, value in fields.items()}
    except (yaml.YAMLError, AttributeError) as error:
        raise ProviderError(
            f"unmarshal failed for keyVaultObjects at index {index}, error: {_first_line(error)}"
        ) from None
    found = VaultObject(
        name=text.get("objectName", ""),
        kind=text.get("objectType", ""),
        alias=text.get("objectAlias", ""),
        version=text.get("objectVersion", ""),
        history=int(text.get("objectVersionHistory") or 0),
        encoding=text.get("objectEncoding", "").lower(),
        permission=int(text["filePermission"], 8) if text.get("filePermission") else None,
    )
    _check(found, text.get("objectFormat", "").lower())
    return found


def _check(found: VaultObject, form: str) -> None:
    if form not in FORMATS:
        raise ProviderError(f"invalid objectFormat: {form}, should be PEM or PFX")
    if found.encoding not in ENCODINGS:
        raise ProviderError(f"invalid objectEncoding: {found.encoding}, should be hex, base64 or utf-8")
    if found.encoding not in ("", "utf-8") and found.kind != "secret":
        raise ProviderError("objectEncoding only supported for objectType: secret")
    if found.file_name.startswith(("/", "..")) or "/../" in found.file_name:
        raise ProviderError(f"file name must be a relative path without ..: {found.file_name}")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
