"""Resource providers of the subscription: a new subscription has most of them unregistered.

The SDKs register a provider by themselves when Azure misses it, even if they only look for something. So this is asked
first, and what belongs to an unregistered provider is not looked for.
https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types
"""

from azure.mgmt.resource.resources import ResourceManagementClient

from infra.azure.arm import ArmKind
from infra.provisioning.kinds import Found, OnProgress, State, ignore
from infra.provisioning.reconciling import wait_until_settled
from infra.provisioning.resources import ResourceProvider


class ResourceProviders(ArmKind[ResourceProvider, ResourceManagementClient]):
    """Resource providers, by their namespaces."""

    resource = ResourceProvider
    unique_in_azure = True
    open_client = ResourceManagementClient

    @property
    def scope(self) -> str:
        """A provider is registered in the subscription."""
        return "the subscription"

    def find(self, wanted: ResourceProvider) -> Found | None:
        """Return a provider that is registered, or is being registered; or None."""
        found = self.look(wanted.name, lambda client: client.providers.get(wanted.name))
        said = (found and found.registration_state) or ""
        if said.lower() == "registering":
            return Found(wanted, State.BUSY, said)
        return Found(wanted) if said.lower() == "registered" else None

    def put(self, wanted: ResourceProvider, on_progress: OnProgress = ignore) -> None:
        """Register a provider, and wait until that is done: it takes Azure some minutes."""
        with self.changing(wanted.name, "register") as client:
            client.providers.register(wanted.name)
        wait_until_settled(lambda: self.find(wanted), wanted.key, on_progress)
