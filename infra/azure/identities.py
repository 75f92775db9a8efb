"""User-assigned identities and their federated credentials.

Writes to one identity's federated credentials must not overlap; an identity takes 20 of them.
https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
"""

from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.msi.models import FederatedIdentityCredential
from azure.mgmt.msi.models import Identity as Parameters

from infra.azure.credentials import managed
from infra.azure.errors import translated
from infra.azure.names import get_location
from infra.errors import NotFound
from infra.provisioning.plan import Found
from infra.provisioning.resources import FederatedCredential, Identity
from infra.settings import Settings

ROLE = "Managed Identity Contributor"
PROPAGATING = ("ParentResourceNotFound",)
"""A new identity is not known everywhere at once."""


def find_identity(name: str, group: str, settings: Settings) -> Found | None:
    """Return an identity with its client id, principal id and tenant id, or None."""
    try:
        return Found(get_identity(name, group, settings))
    except NotFound:
        return None


def get_identity(name: str, group: str, settings: Settings) -> Identity:
    """Return an identity: its ids are looked up here, never typed.

    Raises:
        NotFound: there is no such identity.
    """
    with (
        translated("Cannot look at the identity", name=name, role="Reader", scope=f"the group {group}"),
        managed(ManagedServiceIdentityClient, settings) as client,
    ):
        found = client.user_assigned_identities.get(group, name)
    return Identity(
        name=name,
        location=get_location(found.location),
        client_id=str(found.client_id or ""),
        principal_id=str(found.principal_id or ""),
        tenant_id=str(found.tenant_id or ""),
    )


def put_identity(wanted: Identity, group: str, settings: Settings) -> None:
    """Make an identity."""
    with (
        translated("Cannot create the identity", name=wanted.name, role=ROLE, scope=f"the group {group}"),
        managed(ManagedServiceIdentityClient, settings) as client,
    ):
        client.user_assigned_identities.create_or_update(group, wanted.name, Parameters(location=wanted.location))


def find_federated(name: str, identity: str, group: str, settings: Settings) -> Found | None:
    """Return a federated credential of an identity, or None."""
    try:
        with (
            translated("Cannot look at the federated credential", name=f"{identity}/{name}", role=ROLE),
            managed(ManagedServiceIdentityClient, settings) as client,
        ):
            found = client.federated_identity_credentials.get(group, identity, name)
    except NotFound:
        return None
    return Found(
        FederatedCredential(
            name=name,
            parent=identity,
            issuer=found.issuer or "",
            subject=found.subject or "",
            audience=", ".join(found.audiences or []),
        )
    )


def put_federated(wanted: FederatedCredential, group: str, settings: Settings) -> None:
    """Make or change a federated credential. It takes effect some seconds to minutes later.

    Raises:
        NotYetPropagated: Azure does not know the identity everywhere yet.
    """
    parameters = FederatedIdentityCredential(issuer=wanted.issuer, subject=wanted.subject, audiences=[wanted.audience])
    with (
        translated("Cannot create the federated credential", name=wanted.label, role=ROLE, propagating=PROPAGATING),
        managed(ManagedServiceIdentityClient, settings) as client,
    ):
        client.federated_identity_credentials.create_or_update(group, wanted.parent, wanted.name, parameters)
