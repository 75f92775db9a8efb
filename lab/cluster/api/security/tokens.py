"""Tokens: opaque ones for people, signed ones for service accounts, and the documents by which others check those.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

import base64
import hashlib
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.cluster.api.errors import unauthorized
from lab.cluster.api.objects import Clock
from lab.cluster.api.security.users import AUTHENTICATED, User

_ALGORITHM = "RS256"
_KEY_BITS = 2048
_REMEMBERED = 256
"""Tokens whose signature is checked once: a pod or a caller shows the same one with each request."""


@dataclass(frozen=True)
class BoundObject:
    """What a service account token is bound to: a pod, secret or node."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class _Issued:
    user: User
    expires_at: datetime


class UserTokens:
    """Opaque tokens of people.

    Args:
        now: the clock.
    """

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._issued: dict[str, _Issued] = {}

    def issue(self, user: str, groups: Sequence[str], lifetime: timedelta) -> str:
        """Make a token that is good for `lifetime`; one that is not positive makes an expired token."""
        token = secrets.token_hex(64)
        expires_at = self._now() + lifetime
        self._issued[_digest(token)] = _Issued(User(user, (*groups, AUTHENTICATED)), expires_at)
        return token

    def find(self, token: str) -> User | None:
        """The user of a token, None for tokens that are not known or have expired."""
        found = self._issued.get(_digest(token))
        return found.user if found and found.expires_at > self._now() else None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class ServiceAccountTokens:
    """Signed tokens of service accounts.

    Args:
        issuer: the OIDC issuer, as AKS has it with a trailing slash.
        now: the clock.
    """

    def __init__(self, issuer: str, now: Clock) -> None:
        self.issuer, self.now = issuer, now
        # Making the key takes longer than everything else at start: it is waited for when it is needed.
        pool = ThreadPoolExecutor(1, "signing-key")
        self._made = pool.submit(rsa.generate_private_key, 65537, _KEY_BITS)
        pool.shutdown(wait=False)
        self._read = lru_cache(_REMEMBERED)(self._check_signature)
        self.is_ours: Callable[[str], bool] = lru_cache(_REMEMBERED)(self._names_this_issuer)
        """Whether a token says that it comes from this issuer; that says nothing of its truth."""

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return self._made.result()

    @cached_property
    def key_id(self) -> str:
        """The key's id, as the API server makes it: a digest of the public key."""
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign claims."""
        return jwt.encode(dict(claims), self._key, _ALGORITHM, headers={"kid": self.key_id})

    def issue(
        self,
        namespace: str,
        name: str,
        uid: str,
        audiences: Sequence[str],
        lifetime: timedelta,
        bound: Mapping[str, BoundObject],
    ) -> tuple[str, datetime]:
        """Make a token for a service account.

        Args:
            audiences: who may accept it; empty for the API server.
            bound: the objects it is bound to, by "pod", "node" or "secret".

        Returns:
            The token and when it expires.
        """
        issued_at = self.now().replace(microsecond=0)
        expires_at = issued_at + lifetime
        identity: dict[str, Any] = {"namespace": namespace}
        identity |= {kind: {"name": owner.name, "uid": owner.uid} for kind, owner in bound.items()}
        identity["serviceaccount"] = {"name": name, "uid": uid}
        seconds = int(issued_at.timestamp())
        claims = {
            "aud": list(audiences) or [self.issuer],
            "exp": int(expires_at.timestamp()),
            "iat": seconds,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": identity,
            "nbf": seconds,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return self.sign(claims), expires_at

    def _names_this_issuer(self, token: str) -> bool:
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return False
        return claims.get("iss") == self.issuer

    def verify(self, token: str, audiences: Sequence[str] = ()) -> dict[str, Any]:
        """The claims of a token.

        Raises:
            ApiError: 401 if it is not ours, is expired, or is meant for somebody else.
        """
        now, claims = self.now().timestamp(), self._read(token, tuple(audiences))
        if not claims["nbf"] <= now + 1 or now >= claims["exp"]:
            raise unauthorized()
        return claims

    def _check_signature(self, token: str, audiences: tuple[str, ...]) -> dict[str, Any]:
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key.public_key(),
                [_ALGORITHM],
                audience=audiences or [self.issuer],
                issuer=self.issuer,
                options=options,
            )
        except jwt.InvalidTokenError:
            raise unauthorized() from None
        return claims

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK set."""
        numbers = self._key.public_key().public_numbers()
        key = {"use": "sig", "kty": "RSA", "kid": self.key_id, "alg": _ALGORITHM}
        key |= {"n": _base64_of(numbers.n), "e": _base64_of(numbers.e)}
        return {"keys": [key]}

    def openid_configuration(self) -> dict[str, Any]:
        """The document at ISSUER/.well-known/openid-configuration."""
        return {
            "issuer": self.issuer,
            "jwks_uri": self.issuer.rstrip("/") + "/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
        }


def _base64_of(number: int) -> str:
    size = (number.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(number.to_bytes(size, "big")).rstrip(b"=").decode()
