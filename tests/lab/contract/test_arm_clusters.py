"""Managed clusters through the real client."""

from uuid import uuid4

import pytest
from arm_world import GROUP, LOCATION, SCOPE, World
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerservice import ContainerServiceClient

from lab.azure.backends import EntraSpec
from lab.control.options import TENANT_ID

CLUSTER = "integrateakskv-cluster"
ADDON = "azureKeyvaultSecretsProvider"


def body(interval="2m", rotation="true", **changes):
    config = {"enableSecretRotation": rotation, "rotationPollInterval": interval}
    return {
        "location": LOCATION,
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "dnsPrefix": "integrateakskv",
            "agentPoolProfiles": [{"name": "nodepool1", "count": 1, "vmSize": "Standard_DS2_v2", "mode": "System"}],
            "oidcIssuerProfile": {"enabled": True},
            "securityProfile": {"workloadIdentity": {"enabled": True}},
            "addonProfiles": {ADDON: {"enabled": True, "config": config}},
            **changes,
        },
    }


@pytest.fixture
def clusters(world: World, group: str):
    return world.client(ContainerServiceClient).managed_clusters


@pytest.fixture
def cluster(clusters, group):
    return clusters.begin_create_or_update(group, CLUSTER, body()).result()


def test_a_cluster_tells_its_issuer_and_identities(world, cluster, clusters):
    assert cluster.provisioning_state == "Succeeded"
    assert cluster.oidc_issuer_profile.issuer_url.startswith(f"https://{LOCATION}.oic.prod-aks.azure.com/{TENANT_ID}/")
    assert cluster.oidc_issuer_profile.issuer_url.endswith("/")
    assert cluster.security_profile.workload_identity.enabled is True
    addon = cluster.addon_profiles[ADDON]
    assert addon.config == {"enableSecretRotation": "true", "rotationPollInterval": "2m"}
    assert world.directory.by_object_id(addon.identity.object_id).client_id == addon.identity.client_id
    assert world.directory.by_object_id(cluster.identity.principal_id).kind == "system"
    assert cluster.node_resource_group == f"MC_{GROUP}_{CLUSTER}_{LOCATION}"
    assert cluster.agent_pool_profiles[0].provisioning_state == "Succeeded"
    assert cluster.fqdn.endswith(f".hcp.{LOCATION}.azmk8s.io")


def test_the_backend_gets_what_was_asked_for(world, cluster):
    [spec] = world.backends.clusters[CLUSTER].specs
    assert (spec.resource_id, spec.name, spec.workload_identity) == (cluster.id, CLUSTER, True)
    assert spec.issuer_url == cluster.oidc_issuer_profile.issuer_url
    assert spec.secrets_provider == {"enableSecretRotation": "true", "rotationPollInterval": "2m"}
    assert world.call(lambda: world.arm.find_issuer(spec.issuer_url)) is world.backends.clusters[CLUSTER]
    assert world.call(lambda: world.arm.find_issuer("https://elsewhere/")) is None


def test_kubeconfigs_are_handed_out(cluster, clusters, group):
    [user] = clusters.list_cluster_user_credentials(group, CLUSTER).kubeconfigs
    [admin] = clusters.list_cluster_admin_credentials(group, CLUSTER).kubeconfigs
    assert (user.name, bytes(user.value)) == ("clusterUser", b"kind: Config\nrole: user\n")
    assert (admin.name, bytes(admin.value)) == ("clusterAdmin", b"kind: Config\nrole: admin\n")


def test_with_entra_id_the_user_signs_in_by_kubelogin_and_nobody_statically(world, clusters, group):
    profile = {"managed": True, "enableAzureRBAC": True, "adminGroupObjectIDs": ["a-group"]}
    made = clusters.begin_create_or_update(group, CLUSTER, body(aadProfile=profile, disableLocalAccounts=True)).result()
    assert (made.aad_profile.enable_azure_rbac, made.aad_profile.tenant_id) == (True, TENANT_ID)
    assert made.disable_local_accounts is True
    [spec] = world.backends.clusters[CLUSTER].specs
    assert (spec.entra, spec.fqdn) == (EntraSpec(True, ("a-group",)), made.fqdn)
    for wanted, role in ((None, "exec"), ("exec", "exec"), ("azure", "azure")):
        [user] = clusters.list_cluster_user_credentials(group, CLUSTER, format=wanted).kubeconfigs
        assert (user.name, bytes(user.value)) == ("clusterUser", f"kind: Config\nrole: {role}\n".encode())
    with pytest.raises(HttpResponseError) as caught:
        clusters.list_cluster_admin_credentials(group, CLUSTER)
    assert (caught.value.status_code, caught.value.error.code) == (400, "BadRequest")
    assert caught.value.error.message == (
        "Getting static credential is not allowed because this cluster is set to disable local accounts."
    )


def test_with_entra_id_beside_local_accounts_the_administrator_signs_in_statically(cluster, clusters, group):
    clusters.begin_create_or_update(group, CLUSTER, body(aadProfile={"managed": True})).result()
    [user] = clusters.list_cluster_user_credentials(group, CLUSTER).kubeconfigs
    [admin] = clusters.list_cluster_admin_credentials(group, CLUSTER).kubeconfigs
    assert (bytes(user.value), bytes(admin.value)) == (b"kind: Config\nrole: exec\n", b"kind: Config\nrole: admin\n")


def test_a_role_is_assigned_on_a_namespace_of_a_cluster_that_exists(world, cluster):
    scope, role = f"{cluster.id}/namespaces/dexter", "3498e952-d568-435e-9b2c-8d77e338d7f7"
    assignments = world.client(AuthorizationManagementClient).role_assignments
    definition = f"{SCOPE}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    body = {"roleDefinitionId": definition, "principalId": world.directory.operator.object_id}
    assert assignments.create(scope, str(uuid4()), {"properties": body}).scope == scope
    with pytest.raises(ResourceNotFoundError, match="managedClusters/nosuch"):
        assignments.create(scope.replace(CLUSTER, "nosuch"), str(uuid4()), {"properties": body})


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"disableLocalAccounts": True}, "disableLocalAccounts"),
        ({"aadProfile": {"enableAzureRBAC": True}}, "aadProfile.managed"),
    ],
    ids=["without Entra ID", "not managed"],
)
def test_accounts_that_could_not_be_used_are_refused(clusters, group, change, target):
    with pytest.raises(HttpResponseError) as caught:
        clusters.begin_create_or_update(group, CLUSTER, body(**change))
    assert (caught.value.status_code, caught.value.error.code) == (400, "BadRequest")
    assert caught.value.error.target == target
    assert list(clusters.list()) == []


def test_entra_id_stays_on(world, clusters, group):
    clusters.begin_create_or_update(group, CLUSTER, body(aadProfile={"managed": True})).result()
    with pytest.raises(HttpResponseError, match="Changing property 'aadProfile' is not allowed"):
        clusters.begin_create_or_update(group, CLUSTER, body(aadProfile={"managed": False}))
    again = clusters.begin_create_or_update(group, CLUSTER, body()).result()
    assert again.aad_profile.managed is True


def test_the_kubeconfig_needs_an_action_of_its_own(world, cluster, group):
    principal = world.directory.add_user_identity("/x/reader")
    reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
    world.call(lambda: world.access.assign(cluster.id, reader, principal.object_id, "one"))
    client = world.client(ContainerServiceClient, principal)
    assert client.managed_clusters.get(group, CLUSTER).name == CLUSTER
    with pytest.raises(HttpResponseError) as caught:
        client.managed_clusters.list_cluster_user_credentials(group, CLUSTER)
    action = "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action"
    assert (caught.value.status_code, action in caught.value.message) == (403, True)


def test_creating_again_changes_nothing_that_stays(world, cluster, clusters, group):
    again = clusters.begin_create_or_update(group, CLUSTER, body()).result()
    assert again.oidc_issuer_profile.issuer_url == cluster.oidc_issuer_profile.issuer_url
    assert (again.fqdn, again.identity.principal_id) == (cluster.fqdn, cluster.identity.principal_id)
    assert len(world.backends.clusters[CLUSTER].specs) == 2
    assert world.backends.clusters[CLUSTER].specs[0] == world.backends.clusters[CLUSTER].specs[1]


def test_a_changed_poll_interval_reaches_the_cluster(world, cluster, clusters, group):
    clusters.begin_create_or_update(group, CLUSTER, body(interval="30s")).result()
    assert world.backends.clusters[CLUSTER].specs[-1].secrets_provider["rotationPollInterval"] == "30s"


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"dnsPrefix": "another"}, "dnsPrefix"),
        ({"nodeResourceGroup": "another"}, "nodeResourceGroup"),
        ({"networkProfile": {"networkPlugin": "kubenet"}}, "networkProfile.networkPlugin"),
        ({"agentPoolProfiles": [{"name": "nodepool1", "vmSize": "Standard_D4s_v5"}]}, "agentPoolProfile.vmSize"),
    ],
)
def test_what_cannot_change_in_place_is_named(world, cluster, clusters, group, change, target):
    with pytest.raises(HttpResponseError) as caught:
        clusters.begin_create_or_update(group, CLUSTER, body(**change))
    assert (caught.value.status_code, caught.value.error.code) == (400, "PropertyChangeNotAllowed")
    assert caught.value.error.target == target
    assert caught.value.error.message == f"Changing property '{target}' is not allowed."
    assert len(world.backends.clusters[CLUSTER].specs) == 1


def test_the_issuer_stays_on(cluster, clusters, group):
    with pytest.raises(HttpResponseError) as caught:
        clusters.begin_create_or_update(
            group, CLUSTER, body(oidcIssuerProfile={"enabled": False}, securityProfile=None)
        )
    assert "OIDC issuer feature cannot be disabled." in caught.value.message


def test_workload_identity_needs_the_issuer(clusters, group):
    with pytest.raises(HttpResponseError) as caught:
        clusters.begin_create_or_update(group, CLUSTER, body(oidcIssuerProfile={"enabled": False}))
    assert (caught.value.status_code, caught.value.error.target) == (400, "securityProfile.workloadIdentity")
    assert list(clusters.list()) == []


@pytest.mark.parametrize("config", [{"interval": "soon"}, {"rotation": "yes"}])
def test_an_addon_config_that_makes_no_sense_is_refused(clusters, group, config):
    with pytest.raises(HttpResponseError) as caught:
        clusters.begin_create_or_update(group, CLUSTER, body(**config))
    assert (caught.value.status_code, caught.value.error.code) == (400, "InvalidParameter")


def test_a_cluster_that_is_being_made_says_so_and_is_not_made_twice(world, clusters, group):
    world.pause()
    poller = clusters.begin_create_or_update(group, CLUSTER, body())
    assert clusters.get(group, CLUSTER).provisioning_state == "Creating"
    with pytest.raises(ResourceExistsError) as caught:
        clusters.begin_create_or_update(group, CLUSTER, body())
    assert (caught.value.status_code, caught.value.error.code) == (409, "OperationNotAllowed")
    with pytest.raises(ResourceExistsError):
        clusters.list_cluster_user_credentials(group, CLUSTER)
    world.resume()
    assert poller.result().provisioning_state == "Succeeded"


def test_a_cluster_that_does_not_start_is_failed_with_its_reason(world, clusters, group):
    world.backends.failure = RuntimeError("etcd has no disk")
    poller = clusters.begin_create_or_update(group, CLUSTER, body())
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert "etcd has no disk" in str(caught.value)
    assert clusters.get(group, CLUSTER).provisioning_state == "Failed"
    world.backends.failure = None
    assert clusters.begin_create_or_update(group, CLUSTER, body()).result().provisioning_state == "Succeeded"


def test_pools_are_listed(world, cluster, group):
    pools = world.client(ContainerServiceClient).agent_pools
    assert [(item.name, item.count) for item in pools.list(group, CLUSTER)] == [("nodepool1", 1)]
    assert pools.get(group, CLUSTER, "nodepool1").vm_size == "Standard_DS2_v2"


def test_a_deleted_cluster_is_stopped_and_its_identities_are_gone(world, cluster, clusters, group):
    running = world.backends.clusters[CLUSTER]
    clusters.begin_delete(group, CLUSTER).result()
    assert running.stopped
    assert world.directory.by_object_id(cluster.identity.principal_id) is None
    assert world.directory.by_object_id(cluster.addon_profiles[ADDON].identity.object_id) is None
    with pytest.raises(ResourceNotFoundError):
        clusters.get(group, CLUSTER)
