"""Federated sign-in: whether somebody else's token may stand for an identity's secret.

Matched in Entra ID's order: issuer, subject, audience, then the signature with the issuer's keys, then the time.
https://learn.microsoft.com/entra/workload-id/workload-identity-federation
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import jwt

from lab.azure import aadsts
from lab.azure.directory import Directory, FederatedCredential, Principal

FetchKeys = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Fetches the JWK set of an issuer; raises LookupError when the issuer does not answer."""

_TIMES_UNCHECKED = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


class Federation:
    """Checks client assertions.

    Args:
        directory: who accepts whose tokens.
        fetch_keys: fetches an issuer's keys.
        now: the clock.
    """

    def __init__(self, directory: Directory, fetch_keys: FetchKeys, now: Callable[[], datetime]) -> None:
        self._directory, self._fetch_keys, self._now = directory, fetch_keys, now

    async def verify(self, principal: Principal, assertion: str) -> None:
        """Accept an assertion that stands for `principal`.

        Raises:
            SignInRefused: it does not.
        """
        claims = _read_unverified(assertion)
        credentials = self._directory.effective_federated_credentials(principal.object_id)
        issuer = _match(credentials, claims)
        try:
            keys = await self._fetch_keys(issuer)
        except LookupError:
            raise aadsts.issuer_unreachable(issuer) from None
        _verify_signature(assertion, keys)
        _verify_time(claims, self._now())


def _read_unverified(assertion: str) -> Mapping[str, Any]:
    try:
        return cast(Mapping[str, Any], jwt.decode(assertion, options={"verify_signature": False}))
    except jwt.InvalidTokenError:
        raise aadsts.malformed_assertion() from None


def _match(credentials: list[FederatedCredential], claims: Mapping[str, Any]) -> str:
    """The issuer of the credential that the claims match."""
    issuer, subject = str(claims.get("iss", "")), str(claims.get("sub", ""))
    audience = claims.get("aud", "")
    audiences = [str(entry) for entry in audience] if isinstance(audience, list) else [str(audience)]
    same_issuer = [c for c in credentials if c.issuer == issuer]
    if not same_issuer:
        raise aadsts.no_match(700211, "issuer", issuer)
    same_subject = [c for c in same_issuer if c.subject == subject]
    if not same_subject:
        near = any(c.subject.lower() == subject.lower() for c in same_issuer)
        raise aadsts.no_match(7002138 if near else 700213, "subject", subject)
    if not any(entry in c.audiences for c in same_subject for entry in audiences):
        raise aadsts.no_match(700212, "audience", ", ".join(audiences))
    return issuer


def _verify_signature(assertion: str, keys: Mapping[str, Any]) -> None:
    try:
        kid = jwt.get_unverified_header(assertion).get("kid")
        known = {key.key_id: key for key in jwt.PyJWKSet.from_dict(dict(keys)).keys}
        if kid not in known:
            raise aadsts.bad_signature("The key was not found.")
        jwt.decode(assertion, known[kid].key, algorithms=["RS256"], options=cast(Any, _TIMES_UNCHECKED))
    except jwt.PyJWTError:
        raise aadsts.bad_signature("The provided signature value did not match the expected signature value.") from None


def _verify_time(claims: Mapping[str, Any], now: datetime) -> None:
    start, end = _moment(claims.get("nbf")), _moment(claims.get("exp"))
    if end is None or now >= end or (start is not None and now < start):
        raise aadsts.not_in_time(now, start, end)


def _moment(seconds: object) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int | float) else None
