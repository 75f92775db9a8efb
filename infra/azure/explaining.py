"""Why somebody is refused: which role or federated credential is missing or wrong, or only too new.

Told from what Azure has on record, so that trying again is for what passes by itself, and nothing else.
"""

from infra.azure import clusters, identities, roles
from infra.azure.finding import as_assignment
from infra.errors import AccessDenied, AuthenticationFailed, KeyturnError, NotYetPropagated
from infra.provisioning.resources import FederatedCredential, RoleAssignment, StorageAccount, Vault
from infra.provisioning.stack import SECRETS_USER, get_subject
from infra.settings import Settings
from infra.targets import Stack

FEDERATION = "AADSTS7002"
"""What Entra ID's refusals of issuer, audience and subject begin with."""


def explain_denial(error: AccessDenied, stack: Stack, role: str, principal_id: str, settings: Settings) -> KeyturnError:
    """Return the error that names the missing role, or one that is retryable when the role is assigned.

    Args:
        error: the refusal.
        stack: the names.
        role: the role that the principal needs, on the vault or on the storage account.
        principal_id: the object id of who was refused.
        settings: subscription and timeouts.
    """
    scope = _get_scope(stack, role)
    wanted = RoleAssignment(name=role, scope=scope, principal=principal_id)
    if roles.is_assigned(as_assignment(wanted, principal_id, stack.resource_group, settings), settings):
        fix = f"wait: {principal_id} has the role {role} on the {scope}, it has no effect yet"
        return NotYetPropagated(error.what, name=error.name, seen=error.seen, fix=fix, code=error.code)
    fix = f"assign the role {role} on the {scope} to {principal_id}, or run the flow provision"
    return AccessDenied(error.what, name=error.name, seen=error.seen, fix=fix, code=error.code)


def explain_federation(error: AuthenticationFailed, stack: Stack, settings: Settings) -> KeyturnError:
    """Return the error that says where the federated credential is wrong, or one that is retryable when it is right."""
    if not error.code.startswith(FEDERATION):
        return error
    wanted = FederatedCredential(
        name=stack.federated_credential,
        parent=stack.identity,
        issuer=clusters.get_issuer(stack.cluster, stack.resource_group, settings),
        subject=get_subject(stack),
    )
    found = identities.find_federated(wanted.name, stack.identity, stack.resource_group, settings)
    if found is None or found.resource is None:
        seen = f"{stack.identity} has no federated credential {wanted.name}"
    elif differences := wanted.differences(found.resource):
        seen = "; ".join(f"its {one.field} is {one.found}, not {one.wanted}" for one in differences)
    else:
        fix = f"wait: the federated credential {wanted.label} is right, it has no effect yet"
        return NotYetPropagated(error.what, name=error.name, seen=error.seen, fix=fix, code=error.code)
    fix = f"make the federated credential {wanted.label} right, or run the flow provision"
    return AuthenticationFailed(error.what, name=error.name, seen=seen, fix=fix, code=error.code)


def _get_scope(stack: Stack, role: str) -> str:
    if role == SECRETS_USER:
        return f"{Vault.KIND} {stack.vault}"
    return f"{StorageAccount.KIND} {stack.storage_account}"
