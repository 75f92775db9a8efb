"""Access tokens: real RS256 JSON web tokens, made by Entra ID and IMDS, checked by every service.

Claims are those of a v1 token for an application:
https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
"""

import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from lab.azure.audiences import ARM_AUDIENCES as ARM_AUDIENCES
from lab.azure.directory import Directory, Principal

LIFETIME = timedelta(hours=1)
SKEW_SECONDS = 300
"""How far the clocks of those who make tokens and those who check them may lie apart."""
REMEMBERED = 256
"""Tokens whose signature is checked once: each is shown with many requests, and to check it takes most of some."""


class TokenRejected(Exception):
    """A request without a token that this service can accept.

    Args:
        reason: "missing", "malformed", "signature", "issuer", "audience", "expired" or "principal".
        detail: what was seen, without the token.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class Tokens:
    """Makes and checks the access tokens of one tenant.

    Args:
        tenant_id: the tenant.
        directory: who the tokens speak for.
        now: the clock.
        lifetime: how long a token is good for, unless told otherwise.
        key: signs them; None makes a new one.
    """

    def __init__(
        self,
        tenant_id: str,
        directory: Directory,
        now: Callable[[], datetime],
        lifetime: timedelta = LIFETIME,
        key: rsa.RSAPrivateKey | None = None,
    ) -> None:
        self.tenant_id, self.lifetime = tenant_id, lifetime
        self.issuer = f"https://sts.windows.net/{tenant_id}/"
        self._directory, self._now = directory, now
        self._key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._kid = _key_id(self._key.public_key())
        self._read = lru_cache(REMEMBERED)(self._check_signature)

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK set."""
        key = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**key, "kid": self._kid, "x5t": self._kid, "use": "sig", "alg": "RS256"}]}

    def issued_at(self) -> int:
        """The present time as tokens have it: Unix seconds."""
        return int(self._now().timestamp())

    def issue(self, principal: Principal, audience: str, lifetime: timedelta | None = None) -> str:
        """Make an access token for `principal` to show to the service of `audience`."""
        issued = self.issued_at()
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": self.issuer,
            "iat": issued,
            "nbf": issued,
            "exp": issued + int((lifetime or self.lifetime).total_seconds()),
            "appid": principal.client_id,
            "appidacr": "1" if principal.kind == "application" else "2",
            "idp": self.issuer,
            "idtyp": "app",
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": self.tenant_id,
            "ver": "1.0",
        }
        if principal.resource_id:
            claims["xms_mirid"] = principal.resource_id
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._kid, "x5t": self._kid})

    def verify(self, request: web.BaseRequest, audiences: Collection[str]) -> Principal:
        """Find who sends a request.

        Args:
            request: its Authorization header is looked at.
            audiences: what the token's `aud` may be.

        Raises:
            TokenRejected: there is no token, or one that was not made here, for this audience, or that has expired.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenRejected("missing")
        return self.verify_token(token.strip(), audiences)

    def verify_token(self, token: str, audiences: Collection[str]) -> Principal:
        """The same for a bare token."""
        claims = self._read(token)
        if claims.get("iss") != self.issuer:
            raise TokenRejected("issuer", str(claims.get("iss", "")))
        if claims.get("aud") not in audiences:
            raise TokenRejected("audience", str(claims.get("aud", "")))
        if not _is_current(claims, self._now()):
            raise TokenRejected("expired")
        principal = self._directory.by_object_id(str(claims.get("oid", "")))
        if principal is None:
            raise TokenRejected("principal", "the identity was deleted")
        return principal

    def _check_signature(self, token: str) -> Mapping[str, Any]:
        # Times are checked against the lab's own clock, which tests replace.
        unchecked = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        try:
            return cast(
                Mapping[str, Any],
                jwt.decode(token, self._key.public_key(), algorithms=["RS256"], options=cast(Any, unchecked)),
            )
        except jwt.InvalidSignatureError:
            raise TokenRejected("signature") from None
        except jwt.InvalidTokenError:
            raise TokenRejected("malformed") from None


def _is_current(claims: Mapping[str, Any], now: datetime) -> bool:
    moment = now.timestamp()
    return float(claims.get("nbf", 0)) <= moment + SKEW_SECONDS and moment < float(claims.get("exp", 0))


def _key_id(key: rsa.RSAPublicKey) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()[:27]
