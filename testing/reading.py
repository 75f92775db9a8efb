"""What pods of the walkthrough's stack may read in the vault: by default the stack's own secrets, one by one."""

from contextlib import nullcontext

from infra.azure.client import Azure
from infra.azure.roles import RoleAssignments
from infra.credentials import Credential
from infra.provisioning.options import load_stack
from infra.provisioning.resources import Identity, VaultSecret
from infra.provisioning.wanted import SECRETS_USER, role
from tasks.context import opened_azure
from testing.labs import ROOT
from testing.walkthrough import INVENTORY


def let_read(credential: Credential, azure: Azure | None = None) -> None:
    """Let the identity of the stack's pods read a credential's secrets.

    Args:
        credential: its secrets may be written later; a role assignment names them only.
        azure: the sign-in of who may assign roles; this process' own by default.
    """
    stack = load_stack("walkthrough", ROOT / "manifests", INVENTORY)
    identity = Identity(name=stack.identity)
    with nullcontext(azure) if azure else opened_azure() as owner:
        roles = RoleAssignments(owner, stack.resource_group)
        for name in credential.secret_names:
            roles.put(role(SECRETS_USER, VaultSecret(name=name, parent=credential.vault), identity))
