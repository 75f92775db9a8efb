"""The provider's requests: a service account token for a vault token, then one secret after the other.

In the order of the real provider: the vault's challenge, the token endpoint, the secrets.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from lab.cluster.csi.parameters import TYPES, ProviderError, VaultObject, VaultRequest

LOGIN = "https://login.microsoftonline.com"
API_VERSION = "7.4"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
RETRIED = (408, 429, 500, 502, 503, 504)
RETRIES, RETRY_SECONDS = 3, 0.8
TIMEOUT_SECONDS = 30.0
RULE = "-" * 80
Answer = tuple[int, Mapping[str, str], str]
"""Status, headers and body."""
PATHS = {"secret": "secrets", "key": "keys", "cert": "certificates"}


@dataclass(frozen=True)
class Fetched:
    """A mounted object: its file, bytes and version."""

    file_name: str
    data: bytes = field(repr=False)
    permission: int | None
    uid: str
    version: str


class VaultReader:
    """Fetches what a SecretProviderClass names.

    Args:
        proxy: URL of the proxy that leads to the local Azure; empty for none.
        tls: trusts its CA.
    """

    def __init__(self, proxy: str, tls: ssl.SSLContext) -> None:
        self._proxy, self._tls = proxy, tls
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, request: VaultRequest, assertion: str) -> list[Fetched]:
        """All objects, in order; one that fails fails all.

        Args:
            request: what, and as whom.
            assertion: the pod's service account token.

        Raises:
            ProviderError: the identity was refused, or an object.
        """
        token, found = "", []
        for wanted in request.objects:
            try:
                if wanted.kind not in TYPES:
                    raise ProviderError("Invalid vaultObjectTypes. Should be secret, key, or cert")
                token = token or await self._sign_in(request, wanted, assertion)
                found += await self._get_object(request, wanted, token)
            except ProviderError as error:
                label = f"objectType:{wanted.kind}, objectName:{wanted.name}, objectVersion:{wanted.version}"
                raise ProviderError(f"failed to get {label}: {error}") from None
        return found

    async def _sign_in(self, request: VaultRequest, wanted: VaultObject, assertion: str) -> str:
        """Ask the vault whom it trusts, and there for a token."""
        url = _object_url(request, wanted)
        status, headers, _ = await self._send("GET", url, {})
        challenge = headers.get("WWW-Authenticate", "")
        if status != 401 or not challenge:
            raise ProviderError(f"unexpected answer to an unauthenticated request: {status}")
        resource = re.search(r'resource="([^"]+)"', challenge)
        form = {
            "client_id": request.client_id,
            "client_assertion": assertion,
            "client_assertion_type": ASSERTION,
            "grant_type": "client_credentials",
            "scope": f"{resource[1] if resource else 'https://vault.azure.net'}/.default",
        }
        endpoint = f"{LOGIN}/{request.tenant_id}/oauth2/v2.0/token"
        status, _, body = await self._send("POST", endpoint, {}, form)
        if status != 200:
            text = _describe("POST", endpoint, status, body, None)
            raise ProviderError(f"ClientAssertionCredential authentication failed. \n{text}")
        return str(json.loads(body)["access_token"])

    async def _get_object(self, request: VaultRequest, wanted: VaultObject, token: str) -> list[Fetched]:
        if wanted.history > 1:
            versions = find_history(wanted, await self._list_versions(request, wanted, token))
            return [
                await self._get_version(request, wanted, token, version, f"/{index}")
                for index, version in enumerate(versions)
            ]
        return [await self._get_version(request, wanted, token, wanted.version)]

    async def _get_version(
        self, request: VaultRequest, wanted: VaultObject, token: str, version: str, index: str = ""
    ) -> Fetched:
        url = _object_url(request, wanted, version)
        status, _, body = await self._send("GET", url, {"Authorization": f"Bearer {token}"})
        if status != 200:
            raise ProviderError(_describe("GET", url.split("?")[0], status, body))
        answer = json.loads(body)
        value = answer.get("value") or json.dumps(answer.get("key") or answer.get("cer") or "")
        got = str(answer["id"] if "id" in answer else answer["key"]["kid"]).rsplit("/", 1)[-1]
        data = _decode(value, wanted.encoding)
        return Fetched(wanted.file_name + index, data, wanted.permission, wanted.uid + index, got)

    async def _list_versions(self, request: VaultRequest, wanted: VaultObject, token: str) -> list[str]:
        """The enabled versions, newest first."""
        url: str | None = f"{_base(request, wanted)}/versions?api-version={API_VERSION}"
        found: list[dict[str, Any]] = []
        while url:
            status, _, body = await self._send("GET", url, {"Authorization": f"Bearer {token}"})
            if status != 200:
                raise ProviderError(_describe("GET", url.split("?")[0], status, body))
            page = json.loads(body)
            found += page["value"]
            url = page.get("nextLink")
        enabled = [entry for entry in found if entry["attributes"]["enabled"]]
        enabled.sort(key=lambda entry: entry["attributes"]["created"], reverse=True)
        return [str(entry["id"]).rsplit("/", 1)[-1] for entry in enabled]

    async def _send(self, method: str, url: str, headers: dict[str, str], form: dict[str, str] | None = None) -> Answer:
        """One request; what is throttled or broken is tried again as the SDK does it."""
        for attempt in range(RETRIES):
            try:
                answer = await self._send_once(method, url, headers, form)
            except (aiohttp.ClientError, TimeoutError):
                answer = None
            if answer is not None and answer[0] not in RETRIED:
                return answer
            asked = answer[1].get("Retry-After") if answer is not None else None
            await asyncio.sleep(float(asked) if asked else RETRY_SECONDS * 2**attempt)
        try:
            return await self._send_once(method, url, headers, form)
        except aiohttp.ClientHttpProxyError:  # the proxy does not know the host, as DNS would not
            host = urlsplit(url).hostname
            raise ProviderError(f'{method.title()} "{url}": dial tcp: lookup {host}: no such host') from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ProviderError(f'{method.title()} "{url}": {error or type(error).__name__}') from None

    async def _send_once(self, method: str, url: str, headers: dict[str, str], form: dict[str, str] | None) -> Answer:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls)
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        proxy = self._proxy or None
        async with self._session.request(method, url, headers=headers, data=form, proxy=proxy) as answer:
            return answer.status, answer.headers, await answer.text()


def find_history(wanted: VaultObject, enabled: list[str]) -> list[str]:
    """The versions that are mounted as 0, 1, 2: from the one that is named, or the newest, and one more than asked for.

    https://github.com/Azure/secrets-store-csi-driver-provider-azure/blob/v1.8.2/pkg/provider/provider.go
    """
    first = 0
    if wanted.version not in ("", "latest"):
        first = enabled.index(wanted.version) if wanted.version in enabled else len(enabled)
    return enabled[first : first + wanted.history + 1]


def _base(request: VaultRequest, wanted: VaultObject) -> str:
    return f"https://{request.vault.lower()}.vault.azure.net/{PATHS[wanted.kind]}/{wanted.name}"


def _object_url(request: VaultRequest, wanted: VaultObject, version: str | None = None) -> str:
    return f"{_base(request, wanted)}/{wanted.version if version is None else version}?api-version={API_VERSION}"


def _decode(value: str, encoding: str) -> bytes:
    try:
        if encoding == "base64":
            return base64.b64decode(value, validate=True)
        return bytes.fromhex(value) if encoding == "hex" else value.encode()
    except (ValueError, binascii.Error):
        raise ProviderError(f"failed to decode the value as {encoding}") from None


def _describe(method: str, url: str, status: int, body: str, code: str | None = "") -> str:
    """An error as the SDK prints it, which ends with a line break. Key Vault's errors carry no values.

    Args:
        method: of the request.
        url: of the request, without its query.
        status: of the answer.
        body: of the answer.
        code: None for an error of the sign-in, which shows no code.
    """
    with contextlib.suppress(ValueError):
        answer = json.loads(body)
        body = json.dumps(answer, indent=2, ensure_ascii=False)
        error = answer.get("error") if code is not None and isinstance(answer, dict) else None
        code = str(error.get("code", "")) if isinstance(error, dict) else code
    lines = [f"{method} {url}", RULE, f"RESPONSE {status}: {status} {HTTPStatus(status).phrase}"]
    if code is not None:
        lines.append(f"ERROR CODE: {code}" if code else "ERROR CODE UNAVAILABLE")
    return "\n".join([*lines, RULE, body or "Response contained no body", RULE, ""])
