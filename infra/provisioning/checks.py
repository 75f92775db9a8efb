"""What would keep a plan from ending well, found before anything is made: rights, and what a region offers. Pure.

The adapter answers what may be done and what is offered; what it may not see is `None`, and stays unchecked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from infra.errors import AccessDenied, Code, InvalidInput, KeyturnError, Refused
from infra.provisioning.changes import ProvisioningPlan, ResourceChange, Verb
from infra.provisioning.kinds import Kinds
from infra.provisioning.resources import (
    NEW_SERVER_VERSION,
    DatabaseServer,
    Machine,
    ManagedCluster,
    ResourceGroup,
    ResourceProvider,
)

NAMED_LIMIT = 8
"""How many sizes are named of those that a region offers: the ones that are written most alike."""


@dataclass(frozen=True)
class Right:
    """What the caller must be allowed to do.

    Args:
        action: as Azure names it: "Microsoft.KeyVault/vaults/write".
        role: the built-in role that has it.
        in_subscription: whether it is needed in the subscription, not in the resource group alone.
    """

    action: str
    role: str
    in_subscription: bool = False


@dataclass(frozen=True)
class Catalogue:
    """What a region offers to a subscription.

    Args:
        server_versions: the versions of PostgreSQL that a new Flexible Server may have.
        server_sizes: the sizes of Flexible Servers.
        machine_sizes: the sizes of virtual machines, those of a cluster's nodes included.
    """

    server_versions: Collection[str] | None = None
    server_sizes: Collection[str] | None = None
    machine_sizes: Collection[str] | None = None


def list_rights(plan: ProvisioningPlan, kinds: Kinds) -> tuple[Right, ...]:
    """Return what the caller must be allowed to do for a plan, each right once; those of the data plane are assigned
    by the plan itself.
    """
    rights = dict[str, Right]()
    for change in plan.left:
        resource, kind = change.resource, kinds[type(change.resource)]
        if isinstance(resource, ResourceProvider):
            action = f"{resource.name}/register/action"
            rights[action] = Right(action, "Contributor", in_subscription=True)
        elif kind.action:
            rights[kind.action] = Right(kind.action, kind.role, isinstance(resource, ResourceGroup))
    return tuple(rights.values())


def refuse_rights(denied: Sequence[Right], where: Mapping[bool, str]) -> list[KeyturnError]:
    """Return the errors for rights that the caller has not: one for resource providers, one for all others.

    Args:
        denied: the rights.
        where: the scope, by whether it is the subscription.
    """
    errors: list[KeyturnError] = []
    providers = [right.action.partition("/")[0] for right in denied if right.action.endswith("/register/action")]
    if providers:
        errors.append(AccessDenied(Code.PROVIDERS_UNREGISTERED, name=", ".join(providers)))
    others = [right for right in denied if not right.action.endswith("/register/action")]
    if others:
        scopes = dict.fromkeys(where[right.in_subscription] for right in others)
        roles = ", ".join(dict.fromkeys(right.role for right in others))
        seen = f"the caller may not {', '.join(right.action for right in others)}; roles that have it: {roles}"
        errors.append(AccessDenied(Code.AZURE_RIGHTS_MISSING, name=", ".join(scopes), seen=seen))
    return errors


def find_unsupported(plan: ProvisioningPlan, catalogue: Catalogue, location: str) -> InvalidInput | None:
    """Return the error that names every field whose value the region does not offer, with what it offers.

    What exists is not checked: it may have what is no longer offered to new ones.
    """
    asked = [
        (field, value, offered)
        for change in plan.left
        for field, value, offered in _asked(change, catalogue)
        if offered is not None and value.lower() not in {name.lower() for name in offered}
    ]
    if not asked:
        return None
    seen = "; ".join(
        f"{field} is {value}, {location} offers {_name(value, offered)}" for field, value, offered in asked
    )
    return InvalidInput(Code.NOT_OFFERED, name=", ".join(field for field, _, _ in asked), seen=seen)


def block(errors: Sequence[KeyturnError], name: str) -> KeyturnError | None:
    """Return the one error, or one that has all of them as causes, or None for none."""
    if len(errors) < 2:
        return errors[0] if errors else None
    cause: KeyturnError | None = None
    for error in reversed(errors):
        cause = type(error)(error.what, name=error.name, seen=error.seen, fix=error.fix, code=error.code, cause=cause)
    return Refused(Code.PLAN_BLOCKED, name=name, seen=f"{len(errors)} causes", cause=cause)


Asked = tuple[str, str, Collection[str] | None]
"""A field of `ProvisionOptions`, its value, and what is offered."""


def _asked(change: ResourceChange, catalogue: Catalogue) -> list[Asked]:
    resource = change.resource
    is_new = change.verb in (Verb.CREATE, Verb.CHECK)
    resizes = is_new or any(difference.field == "size" for difference in change.differences)
    asked: list[Asked] = []
    if isinstance(resource, DatabaseServer):
        if is_new:
            asked.append(("server_version", resource.version or NEW_SERVER_VERSION, catalogue.server_versions))
        if resizes:
            asked.append(("server_size", resource.size, catalogue.server_sizes))
    elif isinstance(resource, Machine) and resizes:
        asked.append(("machine_size", resource.size, catalogue.machine_sizes))
    elif isinstance(resource, ManagedCluster) and is_new:
        asked.append(("node_size", resource.node_size, catalogue.machine_sizes))
    return asked


def _name(value: str, offered: Collection[str] | None) -> str:
    names = sorted(offered or ())
    if len(names) <= NAMED_LIMIT:
        return ", ".join(names) or "none"
    alike = sorted(get_close_matches(value, names, NAMED_LIMIT, 0.0))
    return f"{', '.join(alike)} and {len(names) - len(alike)} others"
