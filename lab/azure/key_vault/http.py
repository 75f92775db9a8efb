"""Key Vault's HTTP for secrets. All versions of the API are served alike, but for what the first one leaves out.

https://learn.microsoft.com/rest/api/keyvault/secrets/operation-groups
"""

from collections.abc import Awaitable, Callable, Mapping
from json import JSONDecodeError
from typing import Any

from aiohttp import web

from lab.azure.errors import AzureError
from lab.azure.json_answers import json_answer
from lab.azure.key_vault import bodies
from lab.azure.key_vault.backups import Backups
from lab.azure.key_vault.checks import attributes_in, check_types, check_version
from lab.azure.key_vault.guard import Guard, Right, vault_not_found
from lab.azure.key_vault.limits import Limits
from lab.azure.key_vault.policies import Policies
from lab.azure.key_vault.store import VaultStore
from lab.azure.key_vault.vault import SecretAttributes, Vault

Operation = Callable[[web.Request, Vault, str], Awaitable[web.Response] | web.Response]


class KeyVault:
    """The data plane of all vaults; the host says which one is meant.

    Args:
        vaults: the vaults.
        guard: decides who may do what.
        limits: throttles.
        policies: what else is denied.
    """

    def __init__(self, vaults: VaultStore, guard: Guard, limits: Limits, policies: Policies) -> None:
        self._vaults, self._guard, self._limits, self._policies = vaults, guard, limits, policies
        self._backups = Backups()

    def app(self) -> web.Application:
        """The application for *.vault.azure.net."""
        app = web.Application()
        add = app.router.add_route
        add("GET", "/secrets", self._operation(Right.LIST, _list))
        add("GET", "/secrets/", self._operation(Right.LIST, _list))
        add("PUT", "/secrets/{name}", self._operation(Right.SET, self._set))
        add("DELETE", "/secrets/{name}", self._operation(Right.DELETE, _delete))
        add("GET", "/secrets/{name}/versions", self._operation(Right.LIST, _list_versions))
        add("GET", "/secrets/{name}", self._operation(Right.GET, _get))
        add("GET", "/secrets/{name}/{version:[^/]*}", self._operation(Right.GET, _get))
        add("PATCH", "/secrets/{name}", self._operation(Right.UPDATE, _update))
        add("PATCH", "/secrets/{name}/{version:[^/]*}", self._operation(Right.UPDATE, _update))
        add("POST", "/secrets/restore", self._operation(Right.RESTORE, self._restore))
        add("POST", "/secrets/{name}/backup", self._operation(Right.BACKUP, self._back_up))
        add("GET", "/deletedsecrets", self._operation(Right.LIST, _list_deleted))
        add("GET", "/deletedsecrets/{name}", self._operation(Right.READ_DELETED, _get_deleted))
        add("DELETE", "/deletedsecrets/{name}", self._operation(Right.PURGE, _purge))
        add("POST", "/deletedsecrets/{name}/recover", self._operation(Right.RECOVER, _recover))
        add("*", "/{path:.*}", self._operation(Right.LIST, _refuse))
        return app

    def _operation(self, right: Right, operation: Operation) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            name = request.match_info.get("name", "")
            try:
                vault = self._find(request)
                self._guard.verify(request, vault, right, name)
                check_version(_api(request))
                self._limits.count(vault.name, request.method)
                answer = operation(request, vault, name)
                return answer if isinstance(answer, web.Response) else await answer
            except AzureError as refusal:
                return bodies.error(refusal)

        return handle

    async def _set(self, request: web.Request, vault: Vault, name: str) -> web.Response:
        body = await _json(request)
        if not isinstance(body.get("value"), str):
            raise AzureError(400, "BadParameter", "Property value is required and must be a string.")
        attributes, content_type = SecretAttributes(**attributes_in(body)), body.get("contentType")
        self._policies.verify(name, attributes, content_type)
        made = vault.set_secret(name, body["value"], attributes, body.get("tags"), content_type)
        return json_answer(bodies.secret(vault, made, _api(request), value=True))

    def _back_up(self, request: web.Request, vault: Vault, name: str) -> web.Response:
        return json_answer({"value": self._backups.seal(vault.versions_of(name))})

    async def _restore(self, request: web.Request, vault: Vault, name: str) -> web.Response:
        versions = self._backups.open((await _json(request)).get("value"))
        return json_answer(bodies.secret(vault, vault.restore_secret(versions), _api(request)))

    def _find(self, request: web.Request) -> Vault:
        name = (request.url.host or "").partition(".")[0]
        vault = self._vaults.find(name)
        if vault is None:
            raise vault_not_found(name)
        return vault


def _get(request: web.Request, vault: Vault, name: str) -> web.Response:
    found = vault.read_version(name, request.match_info.get("version", ""))
    return json_answer(bodies.secret(vault, found, _api(request), value=True))


async def _update(request: web.Request, vault: Vault, name: str) -> web.Response:
    body, version = await _json(request), request.match_info.get("version", "")
    changed = vault.update_version(name, version, attributes_in(body), body.get("tags"), body.get("contentType"))
    return json_answer(bodies.secret(vault, changed, _api(request)))


def _list(request: web.Request, vault: Vault, name: str) -> web.Response:
    items = [bodies.secret_item(vault, version, _api(request), of_versions=False) for version in vault.list_newest()]
    return json_answer(bodies.page(items, request, vault))


def _list_versions(request: web.Request, vault: Vault, name: str) -> web.Response:
    items = [
        bodies.secret_item(vault, version, _api(request), of_versions=True) for version in vault.list_versions(name)
    ]
    return json_answer(bodies.page(items, request, vault))


def _delete(request: web.Request, vault: Vault, name: str) -> web.Response:
    return json_answer(bodies.deleted_secret(vault, vault.delete_secret(name), _api(request)))


def _get_deleted(request: web.Request, vault: Vault, name: str) -> web.Response:
    return json_answer(bodies.deleted_secret(vault, vault.get_deleted(name), _api(request)))


def _list_deleted(request: web.Request, vault: Vault, name: str) -> web.Response:
    items = [bodies.deleted_secret(vault, deleted, _api(request), item=True) for deleted in vault.list_deleted()]
    return json_answer(bodies.page(items, request, vault))


def _purge(request: web.Request, vault: Vault, name: str) -> web.Response:
    vault.purge_secret(name)
    return web.Response(status=204)


def _recover(request: web.Request, vault: Vault, name: str) -> web.Response:
    return json_answer(bodies.secret(vault, vault.recover_secret(name), _api(request)))


def _refuse(request: web.Request, vault: Vault, name: str) -> web.Response:
    if request.path.strip("/").partition("/")[0] in ("secrets", "deletedsecrets"):
        raise AzureError(405, "MethodNotAllowed", f"{request.method} is not supported for {request.path}.")
    raise AzureError(
        404, "ResourceNotFound", f"There is nothing at {request.path}: the lab's vaults have secrets only."
    )


def _api(request: web.Request) -> str:
    return request.query.get("api-version", "")


async def _json(request: web.Request) -> Mapping[str, Any]:
    try:
        body = await request.json()
    except (JSONDecodeError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict):
        raise AzureError(400, "BadParameter", "The request body is not valid JSON.")
    check_types(body)
    return body
