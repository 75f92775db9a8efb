"""AKS clusters: made with OIDC issuer, workload identity and the Key Vault add-on; their issuer and kubeconfig.

https://learn.microsoft.com/azure/aks/csi-secrets-store-driver
"""

from collections.abc import Mapping
from typing import Any

import yaml
from azure.mgmt.containerservice import ContainerServiceClient, models

from infra.azure.credentials import managed
from infra.azure.errors import translated
from infra.azure.names import get_duration, get_location, get_seconds
from infra.azure.operations import OnProgress, finish, get_state, ignore
from infra.errors import NotFound
from infra.provisioning.plan import Found
from infra.provisioning.resources import ManagedCluster
from infra.settings import Settings

USER_ROLE = "Azure Kubernetes Service Cluster User Role"
ADMIN_ROLE = "Azure Kubernetes Service Contributor Role"
ADD_ON = "azureKeyvaultSecretsProvider"
ROTATION, INTERVAL = "enableSecretRotation", "rotationPollInterval"
DEFAULT_INTERVAL_SECONDS = 120


def find_cluster(name: str, group: str, settings: Settings) -> Found | None:
    """Return a cluster, or None."""
    try:
        found = _get(name, group, settings)
    except NotFound:
        return None
    said = (found.properties and found.properties.provisioning_state) or ""
    return Found(_seen(found, name), get_state(said), said)


def get_issuer(name: str, group: str, settings: Settings) -> str:
    """Return the cluster's OIDC issuer as Entra ID must be told it: with its trailing slash.

    Raises:
        NotFound: there is no such cluster, or its issuer is off.
    """
    if issuer := _seen(_get(name, group, settings), name).issuer:
        return issuer
    raise NotFound("The cluster has no OIDC issuer", name=f"{group}/{name}", fix="provision it: enable the issuer")


def put_cluster(wanted: ManagedCluster, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Make a cluster, or change the one that is there: all that is not wanted otherwise is kept."""
    try:
        parameters, doing = _get(wanted.name, group, settings), "Changing"
    except NotFound:
        parameters, doing = _new(wanted), "Creating"
    _set_features(parameters.properties or models.ManagedClusterProperties(), wanted)
    with (
        translated("Cannot create the cluster", name=wanted.name, role=ADMIN_ROLE, scope=f"the group {group}"),
        managed(ContainerServiceClient, settings) as client,
    ):
        poller = client.managed_clusters.begin_create_or_update(group, wanted.name, parameters)
        finish(poller, f"{doing} the cluster {wanted.name}", on_progress)


def get_kubeconfig(resource_group: str, name: str, settings: Settings) -> Mapping[str, Any]:
    """Return the kubeconfig of the cluster's user credential. It holds a token: it stays inside the calling task.

    Raises:
        NotFound: there is no such cluster, or it hands out no credential.
        AccessDenied: the caller lacks the Azure Kubernetes Service Cluster User Role.
    """
    where = f"{resource_group}/{name}"
    scope = f"the cluster {name}"
    with (
        translated("Cannot get the cluster's credential", name=where, role=USER_ROLE, scope=scope),
        managed(ContainerServiceClient, settings) as client,
    ):
        found = client.managed_clusters.list_cluster_user_credentials(resource_group, name).kubeconfigs or []
    if not found or not found[0].value:
        raise NotFound("The cluster hands out no user credential", name=where, fix="enable its local accounts")
    config: Mapping[str, Any] = yaml.safe_load(bytes(found[0].value))
    return config


def _get(name: str, group: str, settings: Settings) -> models.ManagedCluster:
    with (
        translated("Cannot look at the cluster", name=f"{group}/{name}", role="Reader", scope=f"the group {group}"),
        managed(ContainerServiceClient, settings) as client,
    ):
        return client.managed_clusters.get(group, name)


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
    add_ons = {key: one for key, one in others if key.lower() != ADD_ON.lower()}
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
    add_ons = {key.lower(): one for key, one in (properties.addon_profiles or {}).items()}
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
