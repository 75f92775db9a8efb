"""Entra ID and Azure RBAC as managed clusters ask them: implements `lab.azure.backends.Tenant`."""

from dataclasses import dataclass

from lab.azure.access import Access
from lab.azure.audiences import CLUSTER_AUDIENCES
from lab.azure.directory import Directory
from lab.azure.tokens import TokenRejected, Tokens


@dataclass(frozen=True)
class ClusterAccess:
    """Answers for all clusters of the tenant."""

    tokens: Tokens
    directory: Directory
    access: Access

    def find_principal(self, token: str) -> tuple[str, tuple[str, ...]] | None:
        """The object id of a token's principal and those of its groups; None if the token is not for clusters."""
        try:
            principal = self.tokens.verify_token(token, CLUSTER_AUDIENCES)
        except TokenRejected:
            return None
        return principal.object_id, self.directory.groups_of(principal.object_id)

    def is_allowed(self, object_id: str, action: str, scope: str) -> bool:
        """Whether a principal has a data action at a scope."""
        return self.access.is_allowed(object_id, action, scope, data=True)
