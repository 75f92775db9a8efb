"""From a request's bearer token to the user who asks."""

from collections.abc import Mapping, Sequence
from typing import Any

from lab.cluster.api.errors import unauthorized
from lab.cluster.api.kinds.kind import Registry
from lab.cluster.api.objects import dig, metadata
from lab.cluster.api.security.entra import EntraUsers
from lab.cluster.api.security.tokens import ServiceAccountTokens, UserTokens
from lab.cluster.api.security.users import ANONYMOUS, AUTHENTICATED, User, service_account_user
from lab.cluster.api.store import Store

_NAME = "authentication.kubernetes.io"


class Authenticator:
    """Tells who asks.

    Args:
        users: the tokens of people.
        accounts: the tokens of service accounts.
        store: where service accounts and pods are looked up: a token dies with them.
        registry: the kinds.
        entra: the principals of Entra ID, for a managed cluster.
    """

    def __init__(
        self,
        users: UserTokens,
        accounts: ServiceAccountTokens,
        store: Store,
        registry: Registry,
        entra: EntraUsers | None = None,
    ) -> None:
        self._users, self._accounts, self._store, self._registry = users, accounts, store, registry
        self._entra = entra

    @property
    def issuer(self) -> str:
        """The issuer of service account tokens, which is their default audience, too."""
        return self._accounts.issuer

    def authenticate(self, header: str) -> User:
        """The user of an Authorization header; anonymous without one.

        Raises:
            ApiError: 401 for a credential that is not known, has expired, or whose owner is gone.
        """
        if not header:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return ANONYMOUS
        return self.user_of(token.strip())

    def user_of(self, token: str, audiences: Sequence[str] = ()) -> User:
        """The user of a token.

        Raises:
            ApiError: 401 as for `authenticate`.
        """
        if token.count(".") != 2:
            user = self._users.find(token)
            if user is None:
                raise unauthorized()
            return user
        if self._entra and not self._accounts.is_ours(token):
            return self._entra.get_user(token)
        claims = self._accounts.verify(token, audiences)
        identity = claims["kubernetes.io"]
        self._check_alive("serviceaccounts", identity["namespace"], identity["serviceaccount"])
        for kind in ("pod", "secret"):
            if kind in identity:
                self._check_alive(kind + "s", identity["namespace"], identity[kind])
        return _account(claims)

    def _check_alive(self, plural: str, namespace: str, wanted: Mapping[str, str]) -> None:
        found = self._store.find(self._registry.get("", plural), namespace, wanted["name"])
        if found is None or metadata(found.obj)["uid"] != wanted["uid"]:
            raise unauthorized()


def impersonated(headers: Mapping[str, str], groups: Sequence[str]) -> User | None:
    """Whom a request wants to be taken for, None if nobody.

    Args:
        headers: of the request.
        groups: the values of Impersonate-Group.
    """
    name = headers.get("Impersonate-User", "")
    if not name:
        return None
    if name.startswith("system:serviceaccount:") and name.count(":") == 3:
        namespace, account = name.split(":")[2:]
        return service_account_user(namespace, account, "", {})
    return User(name, (*groups, AUTHENTICATED))


def _account(claims: Mapping[str, Any]) -> User:
    identity = claims["kubernetes.io"]
    extra = {f"{_NAME}/credential-id": (f"JTI={claims['jti']}",)}
    for kind in ("node", "pod"):
        if kind in identity:
            extra[f"{_NAME}/{kind}-name"] = (identity[kind]["name"],)
            extra[f"{_NAME}/{kind}-uid"] = (identity[kind]["uid"],)
    name = str(dig(identity, "serviceaccount", "name"))
    return service_account_user(identity["namespace"], name, identity["serviceaccount"]["uid"], extra)
