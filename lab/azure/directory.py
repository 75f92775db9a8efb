"""The directory: service principals, managed identities and what they may prove themselves with."""

import hmac
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from lab.azure.errors import AzureError
from lab.azure.propagation import Propagation

MAX_FEDERATED_CREDENTIALS = 20


def new_secret() -> str:
    """Make a client secret."""
    return secrets.token_urlsafe(30)


@dataclass(frozen=True)
class Principal:
    """Somebody who can be given a role.

    Args:
        object_id: the id that role assignments name (`principalId`).
        client_id: the application id that tokens are asked for with.
        name: what people call it.
        kind: "application", "system" or "user" (the two sorts of managed identity).
        resource_id: the ARM id that it belongs to; empty for an application.
    """

    object_id: str
    client_id: str
    name: str
    kind: str
    resource_id: str = ""


@dataclass(frozen=True)
class FederatedCredential:
    """Whose tokens an identity accepts in place of a secret; all three are compared exactly."""

    name: str
    issuer: str
    subject: str
    audiences: tuple[str, ...]
    created_at: datetime


class Directory:
    """Principals in memory. The operator, an application with a client secret, is there from the start.

    Args:
        now: the clock.
        operator_client_id: the operator's application id.
        propagation_delay: how long a new federated credential has no effect.
        new_id: makes object and client ids.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        operator_client_id: str,
        propagation_delay: timedelta = timedelta(0),
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._now, self._propagation, self._new_id = now, Propagation(now, propagation_delay), new_id
        self._principals: dict[str, Principal] = {}
        self._federated: dict[str, dict[str, FederatedCredential]] = {}
        self._attached: dict[str, dict[str, Principal]] = {}
        self._groups: dict[str, set[str]] = {}
        self.operator_secret = new_secret()
        self._secrets = {operator_client_id: self.operator_secret}
        self.operator = self._add(Principal(new_id(), operator_client_id, "keyturn-operator", "application"))

    def _add(self, principal: Principal) -> Principal:
        self._principals[principal.object_id] = principal
        return principal

    def add_application(self, name: str) -> tuple[Principal, str]:
        """Make an application that may nothing yet; returns it with its client secret."""
        made, secret = self._add(Principal(self._new_id(), self._new_id(), name, "application")), new_secret()
        self._secrets[made.client_id] = secret
        return made, secret

    def add_system_identity(self, resource_id: str) -> Principal:
        """Give the resource its own identity; the present one is returned when there is one."""
        return self._ensure(resource_id, "system")

    def add_user_identity(self, resource_id: str) -> Principal:
        """Make the principal of a user-assigned identity; the present one is returned when there is one."""
        return self._ensure(resource_id, "user")

    def _ensure(self, resource_id: str, kind: str) -> Principal:
        name = resource_id.rstrip("/").rsplit("/", 1)[-1]
        found = self.by_resource_id(resource_id)
        return found or self._add(Principal(self._new_id(), self._new_id(), name, kind, resource_id))

    def remove(self, object_id: str) -> None:
        """Forget a principal and its federated credentials; role assignments stay behind, as in Azure."""
        self._principals.pop(object_id, None)
        self._federated.pop(object_id, None)
        for identities in self._attached.values():
            identities.pop(object_id, None)

    def principals(self) -> list[Principal]:
        """All principals, in the order in which they were made."""
        return list(self._principals.values())

    def by_object_id(self, object_id: str) -> Principal | None:
        """The principal with this object id, if there is one."""
        return self._principals.get(object_id)

    def by_client_id(self, client_id: str) -> Principal | None:
        """The principal with this client id, if there is one."""
        return next((p for p in self._principals.values() if p.client_id == client_id.lower()), None)

    def by_resource_id(self, resource_id: str) -> Principal | None:
        """The managed identity of this ARM resource, if there is one; ids are compared without regard to case."""
        wanted = resource_id.lower()
        return next((p for p in self._principals.values() if p.resource_id.lower() == wanted and wanted), None)

    def has_secret(self, client_id: str, secret: str) -> bool:
        """Whether `secret` is the client secret of this application."""
        known = self._secrets.get(client_id.lower())
        return known is not None and hmac.compare_digest(known.encode(), secret.encode())

    def add_to_group(self, group_id: str, object_id: str) -> None:
        """Make a principal a member of a group, which needs no making."""
        self._groups.setdefault(group_id, set()).add(object_id)

    def groups_of(self, object_id: str) -> tuple[str, ...]:
        """The object ids of the groups that a principal is in."""
        return tuple(sorted(group_id for group_id, members in self._groups.items() if object_id in members))

    def attach(self, machine_id: str, identity: Principal) -> None:
        """Let a machine use a user-assigned identity."""
        self._attached.setdefault(machine_id.lower(), {})[identity.object_id] = identity

    def detach(self, machine_id: str, identity: Principal | None = None) -> None:
        """Take one identity away from a machine, or all of them."""
        if identity is None:
            self._attached.pop(machine_id.lower(), None)
        else:
            self._attached.get(machine_id.lower(), {}).pop(identity.object_id, None)

    def attached(self, machine_id: str) -> list[Principal]:
        """The user-assigned identities of a machine."""
        return list(self._attached.get(machine_id.lower(), {}).values())

    def add_federated_credential(
        self, object_id: str, name: str, issuer: str, subject: str, audiences: tuple[str, ...]
    ) -> FederatedCredential:
        """Create or replace a federated credential of an identity.

        Raises:
            AzureError: 409 when another one has the same issuer and subject; 400 when the identity has 20 already.
        """
        present = self._federated.setdefault(object_id, {})
        others = [credential for key, credential in present.items() if key.lower() != name.lower()]
        if any((other.issuer, other.subject) == (issuer, subject) for other in others):
            raise AzureError(
                409,
                "Conflict",
                f"Issuer and subject combination already exists for this Managed Identity: issuer '{issuer}' and "
                f"subject '{subject}'.",
            )
        if len(others) >= MAX_FEDERATED_CREDENTIALS:
            raise AzureError(
                400,
                "BadRequest",
                f"Too many Federated Identity Credentials are configured for this identity. The maximum is "
                f"{MAX_FEDERATED_CREDENTIALS}.",
            )
        self.remove_federated_credential(object_id, name)
        present[name] = FederatedCredential(name, issuer, subject, tuple(audiences), self._now())
        return present[name]

    def find_federated_credential(self, object_id: str, name: str) -> FederatedCredential | None:
        """The federated credential of this name, whatever its case."""
        return next((c for c in self.federated_credentials(object_id) if c.name.lower() == name.lower()), None)

    def remove_federated_credential(self, object_id: str, name: str) -> None:
        """Remove a federated credential; an unknown one is ignored."""
        if found := self.find_federated_credential(object_id, name):
            self._federated[object_id].pop(found.name)

    def federated_credentials(self, object_id: str) -> list[FederatedCredential]:
        """All federated credentials of an identity, in effect or not."""
        return list(self._federated.get(object_id, {}).values())

    def effective_federated_credentials(self, object_id: str) -> list[FederatedCredential]:
        """Those whose propagation is over."""
        return [c for c in self.federated_credentials(object_id) if self._propagation.is_over(c.created_at)]
