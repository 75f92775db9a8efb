"""Role assignments, and whether they allow what somebody wants to do.

A new assignment takes effect when its propagation is over; a removed one loses effect at once.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from lab.azure.errors import AzureError
from lab.azure.propagation import Propagation
from lab.azure.roles import OWNER, Role, find_role


@dataclass(frozen=True)
class Assignment:
    """A role given to a principal at a scope.

    Args:
        name: its GUID.
        scope: an ARM id, as it was written; compared without regard to case.
        role: the role.
        principal_id: the principal's object id.
        principal_type: "ServicePrincipal" for all that the lab knows.
        created_at: when it was made.
    """

    name: str
    scope: str
    role: Role
    principal_id: str
    principal_type: str
    created_at: datetime


class Access:
    """All role assignments of the subscription.

    Args:
        now: the clock.
        propagation_delay: how long a new assignment has no effect.
    """

    def __init__(self, now: Callable[[], datetime], propagation_delay: timedelta = timedelta(0)) -> None:
        self._now, self._propagation = now, Propagation(now, propagation_delay)
        self._assignments: dict[str, Assignment] = {}

    def make_owner(self, principal_id: str, scope: str) -> Assignment:
        """Give the Owner role with effect at once: what a subscription comes with."""
        past = self._now() - self._propagation.delay
        found = Assignment(str(uuid.uuid4()), _normal(scope), OWNER, principal_id, "ServicePrincipal", past)
        self._assignments[found.name] = found
        return found

    def assign(
        self,
        scope: str,
        role_definition_id: str,
        principal_id: str,
        name: str,
        principal_type: str = "ServicePrincipal",
    ) -> Assignment:
        """Give a role to a principal.

        Args:
            scope: the ARM id of a subscription, group, resource or child resource.
            role_definition_id: full id or GUID of a built-in role.
            principal_id: object id of the principal.
            name: GUID of the new assignment.
            principal_type: what the caller says that the principal is.

        Raises:
            AzureError: 404 for an unknown role; 409 RoleAssignmentExists when the principal has the role there.
        """
        role = find_role(role_definition_id)
        if role is None:
            guid = role_definition_id.rsplit("/", 1)[-1]
            raise AzureError(
                404, "RoleDefinitionDoesNotExist", f"The specified role definition with ID '{guid}' does not exist."
            )
        if found := self._find_same(scope, role, principal_id):
            raise AzureError(
                409,
                "RoleAssignmentExists",
                f"The role assignment already exists. The ID of the conflicting role assignment is "
                f"{found.name.replace('-', '')}.",
            )
        if self.find(name):
            raise AzureError(
                400,
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            )
        made = Assignment(name.lower(), _normal(scope), role, principal_id, principal_type, self._now())
        self._assignments[made.name] = made
        return made

    def _find_same(self, scope: str, role: Role, principal_id: str) -> Assignment | None:
        wanted = (_normal(scope).lower(), role.guid, principal_id)
        same = (a for a in self._assignments.values() if (a.scope.lower(), a.role.guid, a.principal_id) == wanted)
        return next(same, None)

    def find(self, name: str) -> Assignment | None:
        """The assignment of this name (GUID), if there is one."""
        return self._assignments.get(name.lower())

    def remove(self, name: str) -> Assignment | None:
        """Remove an assignment and return it; None when there is none of this name."""
        return self._assignments.pop(name.lower(), None)

    def remove_below(self, scope: str) -> None:
        """Remove the assignments at a scope and inside it, as deleting the resource does."""
        gone = [a.name for a in self._assignments.values() if _contains(scope, a.scope)]
        for name in gone:
            del self._assignments[name]

    def list(self, scope: str, *, above: bool = True, below: bool = True) -> list[Assignment]:
        """The assignments that concern a scope: at it, above it (inherited) and below it."""
        return [
            a
            for a in self._assignments.values()
            if _normal(scope).lower() == a.scope.lower()
            or (above and _contains(a.scope, scope))
            or (below and _contains(scope, a.scope))
        ]

    def roles_of(self, principal_id: str, scope: str) -> tuple[Role, ...]:
        """The roles that a principal has at a scope, by assignments there or above that are in effect."""
        return tuple(
            a.role
            for a in self._assignments.values()
            if a.principal_id == principal_id and self._propagation.is_over(a.created_at) and _contains(a.scope, scope)
        )

    def is_allowed(self, principal_id: str, action: str, scope: str, *, data: bool = False) -> bool:
        """Whether the principal may do `action` at `scope`, by an assignment there or above that is in effect."""
        return any(role.allows(action, data=data) for role in self.roles_of(principal_id, scope))


def _normal(scope: str) -> str:
    return "/" + scope.strip("/")


def _contains(outer: str, inner: str) -> bool:
    """Whether `inner` is at or inside `outer`: whole segments, no regard to case."""
    return (_normal(inner).lower() + "/").startswith(_normal(outer).lower().rstrip("/") + "/")
