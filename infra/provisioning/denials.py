"""Why somebody is refused: a role or federated credential is missing, wrong, or only too new to be effective.

Decided from what Azure has on record, so that only what is transient is tried again.
"""

from infra.errors import MISSING_ROLE, AccessDenied, AuthenticationFailed, KeyturnError, NotYetPropagated
from infra.provisioning.kinds import Kinds
from infra.provisioning.resources import FederatedCredential, Identity, Machine, RoleAssignment

FEDERATION = "AADSTS7002"
"""What Entra ID's refusals of issuer, audience and subject begin with."""


def explain_denial(error: AccessDenied, needed: RoleAssignment, kinds: Kinds) -> KeyturnError:
    """Return the error that names the missing role, or a retryable one when the role is assigned.

    A refusal that has another cause stays as it is: no role helps, and no waiting.

    Args:
        error: the refusal.
        needed: the role that the principal needs, and where.
        kinds: what looks it up.
    """
    if error.code not in MISSING_ROLE:
        return error
    principal_id = _get_principal_id(needed, kinds)
    role = f"the role {needed.name} on the {needed.scope.key}"
    if kinds[RoleAssignment].find(needed):
        fix = f"Wait: {principal_id} has {role}, but it is not effective yet"
        return NotYetPropagated(error.what, name=error.name, seen=error.seen, fix=fix, code=error.code)
    fix = f"Assign {role} to {principal_id}, or run the flow provision"
    return AccessDenied(error.what, name=error.name, seen=error.seen, fix=fix, code=error.code)


def explain_federation(error: AuthenticationFailed, needed: FederatedCredential, kinds: Kinds) -> KeyturnError:
    """Return the error that says what is wrong with the federated credential, or a retryable one when nothing is."""
    if not error.code.startswith(FEDERATION):
        return error
    kind = kinds[FederatedCredential]
    needed = kind.resolve(needed)
    found = kind.find(needed)
    if found is None or found.resource is None:
        seen = f"{needed.parent} has no federated credential {needed.name}"
    elif differences := needed.differences(found.resource):
        seen = "; ".join(f"its {each.field} is {each.found}, not {each.wanted}" for each in differences)
    else:
        fix = f"Wait: the federated credential {needed.label} is right, but it is not effective yet"
        return NotYetPropagated(error.what, name=error.name, seen=error.seen, fix=fix, code=error.code)
    fix = f"Correct the federated credential {needed.label}, or run the flow provision"
    return AuthenticationFailed(error.what, name=error.name, seen=seen, fix=fix, code=error.code)


def _get_principal_id(needed: RoleAssignment, kinds: Kinds) -> str:
    principal = needed.principal
    found = kinds[type(principal)].find(principal) if principal else None
    resource = found.resource if found else None
    return resource.principal_id if isinstance(resource, Identity | Machine) else "the caller"
