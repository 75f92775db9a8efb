"""User-assigned identities and their federated credentials.

Writes to one identity's federated credentials must not overlap; an identity has 20 of them at most.
https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
"""

from dataclasses import replace

from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.msi.models import FederatedIdentityCredential
from azure.mgmt.msi.models import Identity as Parameters

from infra.azure.arm import ArmKind, get_location
from infra.azure.clusters import ManagedClusters
from infra.errors import NotFound
from infra.provisioning.kinds import Found, OnProgress, ignore
from infra.provisioning.resources import FederatedCredential, Identity

ROLE = "Managed Identity Contributor"
PROPAGATING = ("ParentResourceNotFound",)
"""A new identity is not known everywhere at once."""


class Identities(ArmKind[Identity, ManagedServiceIdentityClient]):
    """User-assigned identities."""

    resource = Identity
    action = "Microsoft.ManagedIdentity/userAssignedIdentities/write"
    role = ROLE
    open_client = ManagedServiceIdentityClient

    def find(self, wanted: Identity) -> Found | None:
        """Return an identity with its client id, principal id and tenant id, or None."""
        try:
            return Found(self.get(wanted.name))
        except NotFound:
            return None

    def get(self, name: str) -> Identity:
        """Return an identity: its ids are looked up here, never typed.

        Raises:
            NotFound: there is no such identity.
        """
        with self.reading(name) as client:
            found = client.user_assigned_identities.get(self.group, name)
        return Identity(
            name=name,
            location=get_location(found.location),
            client_id=str(found.client_id or ""),
            principal_id=str(found.principal_id or ""),
            tenant_id=str(found.tenant_id or ""),
        )

    def put(self, wanted: Identity, on_progress: OnProgress = ignore) -> None:
        """Make an identity."""
        parameters = Parameters(location=wanted.location)
        with self.changing(wanted.name) as client:
            client.user_assigned_identities.create_or_update(self.group, wanted.name, parameters)


class FederatedCredentials(ArmKind[FederatedCredential, ManagedServiceIdentityClient]):
    """Federated credentials of identities."""

    resource = FederatedCredential
    action = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write"
    role = ROLE
    open_client = ManagedServiceIdentityClient

    def resolve(self, wanted: FederatedCredential) -> FederatedCredential:
        """Look up the issuer: the cluster's.

        Raises:
            NotFound: there is no such cluster, or its issuer is off.
        """
        return replace(wanted, issuer=ManagedClusters(self.azure, self.group).get_issuer(wanted.cluster))

    def find(self, wanted: FederatedCredential) -> Found | None:
        """Return a federated credential of an identity, or None."""
        identity, name = wanted.parent, wanted.name
        found = self.look(
            wanted.label, lambda client: client.federated_identity_credentials.get(self.group, identity, name)
        )
        if found is None:
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

    def put(self, wanted: FederatedCredential, on_progress: OnProgress = ignore) -> None:
        """Make or change a federated credential. It takes effect some seconds to minutes later.

        Raises:
            NotYetPropagated: Azure does not know the identity everywhere yet.
        """
        parameters = FederatedIdentityCredential(
            issuer=wanted.issuer, subject=wanted.subject, audiences=[wanted.audience]
        )
        with self.changing(wanted.label, propagating=PROPAGATING) as client:
            client.federated_identity_credentials.create_or_update(self.group, wanted.parent, wanted.name, parameters)
