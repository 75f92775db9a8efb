"""Entra ID's refusals: AADSTS codes with their texts, and the body that they are answered in.

https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

import uuid
from datetime import datetime
from typing import Any

from aiohttp import web

from lab.azure.json_answers import json_answer

_CASE = "Please note that the matching is done using a case-sensitive comparison."
_CHECK = (
    "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. "
    "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
)


class SignInRefused(Exception):
    """A token request that is refused.

    Args:
        code: the number after AADSTS.
        text: the text after it, without ids and time. Never a secret or an assertion.
        error: OAuth's error code.
        status: the HTTP status.
    """

    def __init__(self, code: int, text: str, error: str = "invalid_client", status: int = 401) -> None:
        self.code, self.text, self.error, self.status = code, text, error, status
        super().__init__(f"AADSTS{code}: {text}")

    def body(self, now: datetime, correlation_id: str = "") -> dict[str, Any]:
        """The answer's JSON."""
        trace_id, correlation_id = str(uuid.uuid4()), correlation_id or str(uuid.uuid4())
        timestamp = f"{now:%Y-%m-%d %H:%M:%S}Z"
        ids = f"Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}"
        return {
            "error": self.error,
            "error_description": f"AADSTS{self.code}: {self.text} {ids}",
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.code}",
        }

    def response(self, request: web.Request, now: datetime) -> web.Response:
        """The answer to `request`."""
        body = self.body(now, request.headers.get("client-request-id", ""))
        return json_answer(body, status=self.status, headers={"x-ms-request-id": body["trace_id"]})


def unknown_tenant(tenant: str) -> SignInRefused:
    """The tenant in the address is not the lab's."""
    text = (
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant."
    )
    return SignInRefused(90002, text, "invalid_request", 400)


def unknown_client(client_id: str, tenant_id: str) -> SignInRefused:
    """No principal has this client id."""
    text = (
        f"Application with identifier '{client_id}' was not found in the directory '{tenant_id}'. This can happen if "
        "the application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You may have sent your authentication request to the wrong tenant."
    )
    return SignInRefused(700016, text, "unauthorized_client", 400)


def wrong_secret(client_id: str) -> SignInRefused:
    """The client secret is not this application's."""
    text = (
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        f"the client secret ID, for a secret added to app '{client_id}'."
    )
    return SignInRefused(7000215, text)


def no_proof() -> SignInRefused:
    """Neither secret nor assertion was sent."""
    text = "'client_assertion' or 'client_secret' is required for the 'client_credentials' grant type."
    return SignInRefused(7000216, text)


def missing_parameter(name: str) -> SignInRefused:
    """A form field is missing."""
    return SignInRefused(
        900144, f"The request body must contain the following parameter: '{name}'.", "invalid_request", 400
    )


def unsupported_grant(grant: str) -> SignInRefused:
    """A grant type that this tenant does not have."""
    return SignInRefused(
        70003, f"The app requested an unsupported grant type '{grant}'.", "unsupported_grant_type", 400
    )


def bad_scope(scope: str) -> SignInRefused:
    """A scope that is not RESOURCE/.default."""
    text = (
        f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI)."
    )
    return SignInRefused(1002012, text, "invalid_scope", 400)


def unknown_resource(resource: str, tenant_id: str) -> SignInRefused:
    """A resource that the tenant has no principal for."""
    text = (
        f"The resource principal named {resource} was not found in the tenant named {tenant_id}. This can happen if "
        "the application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You might have sent your authentication request to the wrong tenant."
    )
    return SignInRefused(500011, text, "invalid_resource", 400)


def malformed_assertion() -> SignInRefused:
    """The assertion is not a JSON web token."""
    return SignInRefused(50027, "JWT token is invalid or malformed.", "invalid_request", 400)


def no_match(code: int, what: str, seen: str) -> SignInRefused:
    """No federated credential has the assertion's issuer, subject or audience."""
    text = f"No matching federated identity record found for presented assertion {what} '{seen}'. {_CASE} {_CHECK}"
    return SignInRefused(code, text)


def issuer_unreachable(issuer: str) -> SignInRefused:
    """The issuer's keys cannot be fetched."""
    text = f"Request to External OIDC endpoint failed. Issuer '{issuer}' does not answer with its keys."
    return SignInRefused(90061, text, "invalid_request", 400)


def bad_signature(reason: str) -> SignInRefused:
    """The assertion is not signed with a key of its issuer."""
    return SignInRefused(700027, f"Client assertion failed signature validation. [Reason - {reason}]")


def not_in_time(now: datetime, start: datetime | None, end: datetime | None) -> SignInRefused:
    """The assertion has expired or is not valid yet."""

    def text_of(moment: datetime | None) -> str:
        return f"{moment:%Y-%m-%dT%H:%M:%S.0000000Z}" if moment else "none"

    text = (
        f"Client assertion is not within its valid time range. Current time: {text_of(now)}, assertion valid from "
        f"{text_of(start)}, expiry time of assertion {text_of(end)}. Review the documentation at "
        "https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    )
    return SignInRefused(700024, text)
