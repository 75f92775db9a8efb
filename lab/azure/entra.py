"""Entra ID: discovery, keys, and the token endpoint for applications (client credentials)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from lab.azure import aadsts
from lab.azure.aadsts import SignInRefused
from lab.azure.audiences import is_resource
from lab.azure.directory import Directory, Principal
from lab.azure.federation import Federation
from lab.azure.json_answers import json_answer
from lab.azure.tokens import Tokens

HOST = "login.microsoftonline.com"
_ANY_TENANT = ("common", "organizations")
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEFAULT = "/.default"


class Entra:
    """The sign-in service of the lab's one tenant.

    Args:
        tokens: makes the access tokens.
        directory: the principals and their secrets.
        federation: checks client assertions.
        now: the clock.
    """

    def __init__(
        self, tokens: Tokens, directory: Directory, federation: Federation, now: Callable[[], datetime]
    ) -> None:
        self._tokens, self._directory, self._federation, self._now = tokens, directory, federation, now

    def app(self) -> web.Application:
        """The application for login.microsoftonline.com."""
        app = web.Application()
        app.router.add_get("/common/discovery/instance", self._instance)
        for version in ("", "/v2.0"):
            app.router.add_get(f"/{{tenant}}{version}/.well-known/openid-configuration", self._configuration)
            app.router.add_get(f"/{{tenant}}/discovery{version}/keys", self._keys)
            app.router.add_post(f"/{{tenant}}/oauth2{version}/token", self._token)
        return app

    async def _instance(self, request: web.Request) -> web.Response:
        aliases = [HOST, "login.windows.net", "login.microsoft.com", "sts.windows.net"]
        metadata = {"preferred_network": HOST, "preferred_cache": "login.windows.net", "aliases": aliases}
        endpoint = f"https://{HOST}/{self._tokens.tenant_id}/v2.0/.well-known/openid-configuration"
        body = {"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [metadata]}
        return json_answer(body)

    async def _configuration(self, request: web.Request) -> web.Response:
        tenant = request.match_info["tenant"]
        if not self._knows(tenant) and tenant not in _ANY_TENANT:
            return aadsts.unknown_tenant(tenant).response(request, self._now())
        version = "/v2.0" if "/v2.0/" in request.path else ""
        return json_answer(self._configuration_of(tenant, version))

    def _configuration_of(self, tenant: str, version: str) -> dict[str, Any]:
        base = f"https://{HOST}/{tenant}"
        return {
            "token_endpoint": f"{base}/oauth2{version}/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{base}/discovery{version}/keys",
            "issuer": f"https://{HOST}/{self._tokens.tenant_id}/v2.0" if version else self._tokens.issuer,
            "authorization_endpoint": f"{base}/oauth2{version}/authorize",
            "device_authorization_endpoint": f"{base}/oauth2{version}/devicecode",
            "end_session_endpoint": f"{base}/oauth2{version}/logout",
            "response_types_supported": ["code", "id_token", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "tenant_region_scope": "NA",
            "cloud_instance_name": "microsoftonline.com",
        }

    async def _keys(self, request: web.Request) -> web.Response:
        return json_answer(self._tokens.jwks())

    async def _token(self, request: web.Request) -> web.Response:
        try:
            return json_answer(await self._sign_in(request), headers={"Cache-Control": "no-store, no-cache"})
        except SignInRefused as refusal:
            return refusal.response(request, self._now())

    async def _sign_in(self, request: web.Request) -> dict[str, Any]:
        if not self._knows(request.match_info["tenant"]):
            raise aadsts.unknown_tenant(request.match_info["tenant"])
        form = {name: str(value) for name, value in (await request.post()).items()}
        if _required(form, "grant_type") != "client_credentials":
            raise aadsts.unsupported_grant(form["grant_type"])
        principal = self._directory.by_client_id(_required(form, "client_id"))
        if principal is None:
            raise aadsts.unknown_client(form["client_id"], self._tokens.tenant_id)
        await self._prove(principal, form)
        if request.path.endswith("/v2.0/token"):
            return self._answer(principal, _resource_of_scope(_required(form, "scope")))
        return self._answer_v1(principal, _required(form, "resource"))

    async def _prove(self, principal: Principal, form: dict[str, str]) -> None:
        if "client_assertion" in form and form.get("client_assertion_type") == _ASSERTION_TYPE:
            await self._federation.verify(principal, form["client_assertion"])
        elif "client_secret" not in form:
            raise aadsts.no_proof()
        elif not self._directory.has_secret(principal.client_id, form["client_secret"]):
            raise aadsts.wrong_secret(principal.client_id)

    def _answer(self, principal: Principal, resource: str) -> dict[str, Any]:
        if not is_resource(resource):
            raise aadsts.unknown_resource(resource, self._tokens.tenant_id)
        seconds = int(self._tokens.lifetime.total_seconds()) - 1
        token = self._tokens.issue(principal, resource)
        return {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}

    def _answer_v1(self, principal: Principal, resource: str) -> dict[str, Any]:
        answer = self._answer(principal, resource)
        issued = int(self._now().timestamp())
        times = {"expires_on": str(issued + answer["expires_in"]), "not_before": str(issued), "resource": resource}
        seconds = str(answer["expires_in"])
        return {**answer, "expires_in": seconds, "ext_expires_in": seconds, **times}

    def _knows(self, tenant: str) -> bool:
        return tenant.lower() == self._tokens.tenant_id.lower()


def _required(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise aadsts.missing_parameter(name)
    return form[name]


def _resource_of_scope(scope: str) -> str:
    wanted = next((word for word in scope.split() if word.endswith(_DEFAULT)), "")
    if not wanted:
        raise aadsts.bad_scope(scope)
    return wanted.removesuffix(_DEFAULT)
