"""Microsoft.ContainerService: managed clusters and the kubeconfigs that they hand out.

https://learn.microsoft.com/rest/api/aks/managed-clusters
"""

import base64
from collections.abc import Mapping
from typing import Any

from lab.azure.arm import ids, names
from lab.azure.arm.assigned import assign_identities, check_identities, forget_identities
from lab.azure.arm.bodies import dig
from lab.azure.arm.cluster_bodies import ADDON, check_cluster, complete_cluster
from lab.azure.arm.cluster_rules import RULES
from lab.azure.arm.context import Call, Context
from lab.azure.arm.errors import ArmError
from lab.azure.arm.kinds import Action, Kind
from lab.azure.arm.operations import Operation, Reply
from lab.azure.arm.store import Resource
from lab.azure.backends import ClusterSpec, EntraSpec, RunningCluster

KUBELET, SECRETS_PROVIDER = "{name}-agentpool", "azurekeyvaultsecretsprovider-{name}"


class ManagedClusters(Kind):
    """Managed clusters: each is a running one of the backend's."""

    type_name = "Microsoft.ContainerService/managedClusters"
    name_rule = names.CLUSTER_NAME
    has_system_data = True
    rules = RULES
    rank = 0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._running: dict[str, RunningCluster] = {}

    def find_issuer(self, issuer_url: str) -> RunningCluster | None:
        """The running cluster whose service account tokens have this issuer."""
        for cluster in self.store.within("", self.type_name):
            if issuer_url and dig(cluster.properties, "oidcIssuerProfile.issuerURL", "") == issuer_url:
                return self._running.get(ids.key(cluster.id))
        return None

    async def stop(self) -> None:
        """End all clusters."""
        running, self._running = self._running, {}
        for cluster in running.values():
            await cluster.stop()

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check the body and complete it."""
        if old and "identity" in old.body:
            body.setdefault("identity", old.body["identity"])
        check_identities(self.context, body.get("identity"), call, f"{self.type_name}/write")
        check_cluster(body, old.properties if old else None)
        complete_cluster(body, call.path, old.properties if old else None)

    async def make(self, resource: Resource, call: Call) -> None:
        """Start the cluster, or carry changed settings over."""
        assign_identities(self.context, resource)
        self._assign_node_identities(resource)
        running = self._running.get(ids.key(resource.id))
        if running is None:
            self._running[ids.key(resource.id)] = await self.context.backends.start_cluster(_spec(resource))
        else:
            await running.update(_spec(resource))
        for pool in resource.properties["agentPoolProfiles"]:
            pool["provisioningState"] = "Succeeded"

    async def remove(self, resource: Resource) -> None:
        """Stop the cluster; its identities go with it."""
        running = self._running.pop(ids.key(resource.id), None)
        if running is not None:
            await running.stop()
        forget_identities(self.context, resource)
        for name in (KUBELET, SECRETS_PROVIDER):
            if found := self.context.directory.by_resource_id(_node_identity(resource, name)):
                self.context.directory.remove(found.object_id)

    async def patch(self, call: Call) -> Reply:
        """Change the tags; clusters take nothing else by PATCH."""
        resource = self.require(call.path)
        resource.body["tags"] = dict(call.body.get("tags") or {})
        return Reply(200, self.present(resource))

    def busy(self, resource: Resource, operation: Operation) -> ArmError:
        """The cluster does one thing at a time."""
        return ArmError(
            409,
            "OperationNotAllowed",
            f"Operation is not allowed because there's an in progress {resource.state.lower()} managed cluster "
            f"operation on the managed cluster {resource.name}. Please wait for it to finish before starting a new "
            "operation. See https://aka.ms/aks-pending-operation for more details",
        )

    def actions(self) -> dict[str, Action]:
        """The two kubeconfigs."""
        return {
            "listclusteradmincredential": self._list_admin_credential,
            "listclusterusercredential": self._list_user_credential,
        }

    async def _list_admin_credential(self, resource: Resource, call: Call) -> Reply:
        if resource.properties.get("disableLocalAccounts"):
            text = "Getting static credential is not allowed because this cluster is set to disable local accounts."
            raise ArmError(400, "BadRequest", text)
        return self._credential(resource, "admin", "clusterAdmin")

    async def _list_user_credential(self, resource: Resource, call: Call) -> Reply:
        if not resource.properties.get("aadProfile"):
            return self._credential(resource, "user", "clusterUser")
        wanted = call.query.get("format", "exec")
        if wanted not in ("azure", "exec"):
            text = f"The value '{wanted}' of the query parameter 'format' is invalid: it must be azure or exec."
            raise ArmError(400, "InvalidParameter", text)
        return self._credential(resource, wanted, "clusterUser")

    def _credential(self, resource: Resource, role: str, name: str) -> Reply:
        running = self._running.get(ids.key(resource.id))
        if running is None:
            text = f"The managed cluster {resource.name} has no credentials before it has been created."
            raise ArmError(409, "OperationNotAllowed", text)
        value = base64.b64encode(running.kubeconfig(role).encode()).decode()
        return Reply(200, {"kubeconfigs": [{"name": name, "value": value}]})

    def _assign_node_identities(self, resource: Resource) -> None:
        given = resource.properties
        given["identityProfile"] = {"kubeletidentity": self._node_principal(resource, KUBELET)}
        addon = dig(given, f"addonProfiles.{ADDON}", {})
        if addon.get("enabled"):
            addon["identity"] = self._node_principal(resource, SECRETS_PROVIDER)
        else:
            addon.pop("identity", None)

    def _node_principal(self, resource: Resource, name: str) -> dict[str, str]:
        identity_id = _node_identity(resource, name)
        found = self.context.directory.add_user_identity(identity_id)
        return {"resourceId": identity_id, "clientId": found.client_id, "objectId": found.object_id}


class AgentPools(Kind):
    """Node pools, which are changed with their cluster. The lab's cluster has one node whatever they say."""

    type_name = "Microsoft.ContainerService/managedClusters/agentPools"
    methods = ("GET",)
    is_tracked = False

    async def get(self, call: Call) -> Reply:
        """Answer one pool."""
        for pool in self._pools(call):
            if pool["name"].lower() == call.path.name.lower():
                return Reply(200, pool)
        raise ArmError(404, "NotFound", f"Could not find the agent pool {call.path.name}.")

    async def list_all(self, call: Call) -> Reply:
        """Answer all pools of the cluster."""
        return Reply(200, {"value": self._pools(call)})

    def _pools(self, call: Call) -> list[dict[str, Any]]:
        cluster_id = self.require_parent(call.path)
        cluster = self.store.find(cluster_id)
        profiles: list[Mapping[str, Any]] = dig(cluster.body if cluster else {}, "properties.agentPoolProfiles", [])
        return [
            {
                "id": f"{cluster_id}/agentPools/{profile['name']}",
                "name": profile["name"],
                "type": self.type_name,
                "properties": {name: value for name, value in profile.items() if name != "name"},
            }
            for profile in profiles
        ]


def _spec(resource: Resource) -> ClusterSpec:
    given = resource.properties
    addon = dig(given, f"addonProfiles.{ADDON}", {})
    return ClusterSpec(
        resource_id=resource.id,
        name=resource.name,
        issuer_url=dig(given, "oidcIssuerProfile.issuerURL", ""),
        workload_identity=bool(dig(given, "securityProfile.workloadIdentity.enabled", False)),
        secrets_provider=dict(addon["config"]) if addon.get("enabled") else None,
        fqdn=given["fqdn"],
        entra=_entra(given.get("aadProfile")),
    )


def _entra(profile: Mapping[str, Any] | None) -> EntraSpec | None:
    if not profile:
        return None
    return EntraSpec(bool(profile.get("enableAzureRBAC")), tuple(profile.get("adminGroupObjectIDs") or ()))


def _node_identity(resource: Resource, name: str) -> str:
    subscription = "/".join(resource.id.split("/")[:3])
    group = f"{subscription}/resourcegroups/{resource.properties['nodeResourceGroup']}"
    shown = name.replace("{name}", resource.name)
    return f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{shown}"
