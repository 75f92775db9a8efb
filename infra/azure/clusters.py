"""AKS clusters: made with OIDC issuer, workload identity and the Key Vault add-on; their issuer and kubeconfig.

https://learn.microsoft.com/azure/aks/csi-secrets-store-driver
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from azure.mgmt.containerservice import ContainerServiceClient, models

from infra.azure.arm import ArmKind, as_found, get_location
from infra.azure.errors import translated
from infra.errors import NotFound
from infra.provisioning.kinds import Found, OnProgress, ignore
from infra.provisioning.resources import ManagedCluster

USER_ROLE = "Azure Kubernetes Service Cluster User Role"
ADD_ON = "azureKeyvaultSecretsProvider"
ROTATION, INTERVAL = "enableSecretRotation", "rotationPollInterval"
DEFAULT_INTERVAL_SECONDS = 120
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True)
class ClusterEndpoints:
    """What tells one cluster from another.

    Args:
        hosts: the names of its API server: public, private, and that of the portal's way in.
        issuer: whose service account tokens it takes; empty if its OIDC issuer is off.
    """

    hosts: frozenset[str]
    issuer: str


class ManagedClusters(ArmKind[ManagedCluster, ContainerServiceClient]):
    """AKS clusters."""

    resource = ManagedCluster
    action = "Microsoft.ContainerService/managedClusters/write"
    role = "Azure Kubernetes Service Contributor Role"
    open_client = ContainerServiceClient

    def find(self, wanted: ManagedCluster) -> Found | None:
        """Return a cluster, or None."""
        found = self._find(wanted.name)
        if found is None:
            return None
        return as_found(_seen(found, wanted.name), found.properties and found.properties.provisioning_state)

    def get_issuer(self, name: str) -> str:
        """Return the cluster's OIDC issuer as Entra ID must be told it: with its trailing slash.

        Raises:
            NotFound: there is no such cluster, or its issuer is off.
        """
        with self.reading(name) as client:
            found = client.managed_clusters.get(self.group, name)
        if issuer := _seen(found, name).issuer:
            return issuer
        raise NotFound("The cluster has no OIDC issuer", name=f"{self.group}/{name}", fix="Provision it")

    def put(self, wanted: ManagedCluster, on_progress: OnProgress = ignore) -> None:
        """Make a cluster, or change the features of the existing one; whatever else that has is kept."""
        existing = self._find(wanted.name)
        parameters = existing or _new(wanted)
        _set_features(parameters.properties or models.ManagedClusterProperties(), wanted)
        with self.changing(wanted.name, "change" if existing else "create") as client:
            poller = client.managed_clusters.begin_create_or_update(self.group, wanted.name, parameters)
            self.follow(poller, "Changing" if existing else "Creating", wanted.name, on_progress)

    def get_kubeconfig(self, name: str) -> Mapping[str, Any]:
        """Return the kubeconfig of a cluster's user credential; see `Azure.get_kubeconfig`."""
        where, scope = f"{self.group}/{name}", f"the cluster {name}"
        with (
            translated("Cannot get the cluster's credential", name=where, role=USER_ROLE, scope=scope),
            self.azure.management(ContainerServiceClient) as client,
        ):
            answer = client.managed_clusters.list_cluster_user_credentials(self.group, name, format="exec")
        found = answer.kubeconfigs or []
        if not found or not found[0].value:
            raise NotFound("The cluster gives out no user credential", name=where, fix="See whether the cluster runs")
        config: Mapping[str, Any] = yaml.safe_load(bytes(found[0].value))
        return config

    def find_endpoints(self, name: str) -> ClusterEndpoints | None:
        """Return where a cluster answers, or None when Azure knows no such cluster."""
        found = self._find(name)
        if found is None:
            return None
        properties = found.properties or models.ManagedClusterProperties()
        hosts = (properties.fqdn, properties.private_fqdn, properties.azure_portal_fqdn)
        return ClusterEndpoints(frozenset(filter(None, hosts)), _seen(found, name).issuer)

    def _find(self, name: str) -> models.ManagedCluster | None:
        return self.look(name, lambda client: client.managed_clusters.get(self.group, name))


def _new(wanted: ManagedCluster) -> models.ManagedCluster:
    pool = models.ManagedClusterAgentPoolProfile(
        name="system", mode="System", count=wanted.node_count, vm_size=wanted.node_size, os_type="Linux"
    )
    return models.ManagedCluster(
        location=wanted.location,
        identity=models.ManagedClusterIdentity(type="SystemAssigned"),
        properties=models.ManagedClusterProperties(
            dns_prefix=wanted.dns_prefix or wanted.name, agent_pool_profiles=[pool]
        ),
    )


def _set_features(properties: models.ManagedClusterProperties, wanted: ManagedCluster) -> None:
    properties.oidc_issuer_profile = models.ManagedClusterOIDCIssuerProfile(enabled=wanted.oidc_issuer)
    security = properties.security_profile or models.ManagedClusterSecurityProfile()
    security.workload_identity = models.ManagedClusterSecurityProfileWorkloadIdentity(enabled=wanted.workload_identity)
    properties.security_profile = security
    others = (properties.addon_profiles or {}).items()
    add_ons = {key: add_on for key, add_on in others if key.lower() != ADD_ON.lower()}
    add_ons[ADD_ON] = models.ManagedClusterAddonProfile(
        enabled=wanted.secrets_provider,
        config={
            ROTATION: str(wanted.secret_rotation).lower(),
            INTERVAL: get_duration(wanted.poll_interval_seconds),
        },
    )
    properties.addon_profiles = add_ons


def _seen(found: models.ManagedCluster, name: str) -> ManagedCluster:
    properties = found.properties or models.ManagedClusterProperties()
    issuer, security = properties.oidc_issuer_profile, properties.security_profile
    add_ons = {key.lower(): add_on for key, add_on in (properties.addon_profiles or {}).items()}
    add_on = add_ons.get(ADD_ON.lower())
    config = (add_on and add_on.config) or {}
    return ManagedCluster(
        name=name,
        location=get_location(found.location),
        dns_prefix=properties.dns_prefix,
        oidc_issuer=bool(issuer and issuer.enabled),
        workload_identity=bool(security and security.workload_identity and security.workload_identity.enabled),
        secrets_provider=bool(add_on and add_on.enabled),
        secret_rotation=config.get(ROTATION, "false").lower() == "true",
        poll_interval_seconds=get_seconds(config.get(INTERVAL, "")) or DEFAULT_INTERVAL_SECONDS,
        issuer=(issuer and issuer.issuer_url) or "",
    )


def get_seconds(duration: str) -> int | None:
    """Return the seconds of a duration as Go writes it ("2m", "1m30s"), or None when it is none.

    https://pkg.go.dev/time#ParseDuration
    """
    if not re.fullmatch(rf"(?:{_DURATION.pattern})+", duration):
        return None
    return round(sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(duration)))


def get_duration(seconds: int) -> str:
    """Return seconds as Go writes a duration, shortest first: "2m", "90s"."""
    if seconds % 3600 == 0:
        return f"{seconds // 3600}h"
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
