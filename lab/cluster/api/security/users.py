"""Who asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"


@dataclass(frozen=True)
class User:
    """An authenticated user.

    Args:
        name: as "masterclient" or "system:serviceaccount:NAMESPACE:NAME".
        groups: the groups it is in, system:authenticated included.
        uid: the service account's uid.
        extra: what else its token says, as the pod it is bound to.
    """

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
ANYBODY = User("", (AUTHENTICATED,))
"""Has the rights that everybody has who is authenticated."""


def service_account_user(namespace: str, name: str, uid: str, extra: Mapping[str, tuple[str, ...]]) -> User:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra)
