"""Provisioning by the raw Azure SDK: what the walkthrough needs, without a line of the product.

So that the lab's own tests say something about the lab alone. Clients are default-constructed: they find the lab
by their environment.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from azure.core.polling import LROPoller
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.postgresqlflexibleservers import PostgreSQLManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobServiceClient

GROUP, LOCATION = "integrateakskv-rg", "eastus2"
VAULT, ACCOUNT, CONTAINER = "dexterkeyvault", "integrateakskvtachotacho", "dexter"
CLUSTER, IDENTITY, MACHINE, SERVER = (
    "integrateakskv-cluster",
    "id-aks-uai",
    "AzureVM-Server",
    "sonarqube-postgresql3",
)
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtleXR1cm4ga2V5dHVybiBrZXl0dXJuIGtleXR1cm4h lab"
FIRST_USERNAME, FIRST_PASSWORD = "dexter", "Admin123"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
BLOB_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
BLOB_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"


@dataclass(frozen=True)
class Provisioned:
    """What the manifests need to know."""

    client_id: str
    tenant_id: str
    issuer: str
    kubeconfig: str


class Azure:
    """Steps of provisioning, each by one service's SDK.

    Args:
        env: the variables of `lab env`; they must be this process' own already.
    """

    def __init__(self, env: dict[str, str]) -> None:
        self.subscription, self.tenant = env["AZURE_SUBSCRIPTION_ID"], env["AZURE_TENANT_ID"]
        self.operator_client_id = env["AZURE_CLIENT_ID"]
        self.credential = DefaultAzureCredential()
        self.secrets = SecretClient(f"https://{VAULT}.vault.azure.net", self.credential)

    def scope(self, provider: str) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{GROUP}/providers/{provider}"

    def assign(self, scope: str, role: str, principal: str) -> None:
        client = AuthorizationManagementClient(self.credential, self.subscription)
        definition = f"/subscriptions/{self.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        client.role_assignments.create(
            scope,
            str(uuid.uuid4()),
            {
                "properties": {
                    "roleDefinitionId": definition,
                    "principalId": principal,
                    "principalType": "ServicePrincipal",
                }
            },
        )

    def make_group(self) -> None:
        client = ResourceManagementClient(self.credential, self.subscription)
        client.resource_groups.create_or_update(GROUP, {"location": LOCATION})

    def operator_object_id(self) -> str:
        token = self.credential.get_token("https://management.azure.com/.default").token
        import jwt

        return str(jwt.decode(token, options={"verify_signature": False})["oid"])

    def make_vault(self) -> None:
        client = KeyVaultManagementClient(self.credential, self.subscription)
        properties = {
            "tenantId": self.tenant,
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
            "accessPolicies": [],
        }
        _done(client.vaults.begin_create_or_update(GROUP, VAULT, {"location": LOCATION, "properties": properties}))
        scope = self.scope(f"Microsoft.KeyVault/vaults/{VAULT}")
        self.assign(scope, SECRETS_OFFICER, self.operator_object_id())
        self.secrets.set_secret("username", FIRST_USERNAME)
        self.secrets.set_secret("password", FIRST_PASSWORD)

    def make_storage(self) -> None:
        client = StorageManagementClient(self.credential, self.subscription)
        _done(
            client.storage_accounts.begin_create(
                GROUP, ACCOUNT, {"location": LOCATION, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
            )
        )
        scope = self.scope(f"Microsoft.Storage/storageAccounts/{ACCOUNT}")
        self.assign(scope, BLOB_CONTRIBUTOR, self.operator_object_id())
        blobs = BlobServiceClient(f"https://{ACCOUNT}.blob.core.windows.net", self.credential)
        container = blobs.create_container(CONTAINER)
        container.upload_blob("demo.txt", b"This is a Demo File.")

    def make_identity(self) -> tuple[str, str]:
        client = ManagedServiceIdentityClient(self.credential, self.subscription)
        identity = client.user_assigned_identities.create_or_update(GROUP, IDENTITY, {"location": LOCATION})
        return str(identity.client_id), str(identity.principal_id)

    def grant(self, principal: str) -> None:
        self.assign(self.scope(f"Microsoft.KeyVault/vaults/{VAULT}"), SECRETS_USER, principal)
        self.assign(self.scope(f"Microsoft.Storage/storageAccounts/{ACCOUNT}"), BLOB_READER, principal)

    def make_cluster(self, poll_interval: str = "2m") -> tuple[str, str]:
        """The cluster; returns its issuer and the user's kubeconfig."""
        client = ContainerServiceClient(self.credential, self.subscription)
        addon = {"enabled": True, "config": {"enableSecretRotation": "true", "rotationPollInterval": poll_interval}}
        properties = {
            "dnsPrefix": "integrateakskv",
            "agentPoolProfiles": [{"name": "nodepool1", "count": 1, "vmSize": "Standard_B2s", "mode": "System"}],
            "oidcIssuerProfile": {"enabled": True},
            "securityProfile": {"workloadIdentity": {"enabled": True}},
            "addonProfiles": {"azureKeyvaultSecretsProvider": addon},
        }
        body = {"location": LOCATION, "identity": {"type": "SystemAssigned"}, "properties": properties}
        made = _done(client.managed_clusters.begin_create_or_update(GROUP, CLUSTER, body))
        credentials = client.managed_clusters.list_cluster_user_credentials(GROUP, CLUSTER)
        return made.oidc_issuer_profile.issuer_url, bytes(credentials.kubeconfigs[0].value).decode()

    def federate(self, issuer: str) -> None:
        client = ManagedServiceIdentityClient(self.credential, self.subscription)
        properties = {
            "issuer": issuer,
            "subject": "system:serviceaccount:dexter:dexter-sa",
            "audiences": ["api://AzureADTokenExchange"],
        }
        client.federated_identity_credentials.create_or_update(
            GROUP, IDENTITY, "aksfederatedidentity", {"properties": properties}
        )

    def make_machine(self) -> str:
        """The VM with its network; returns its identity's principal id."""
        network = NetworkManagementClient(self.credential, self.subscription)
        space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}
        subnets = {"subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}]}
        vnet = _done(
            network.virtual_networks.begin_create_or_update(
                GROUP, "vnet", {"location": LOCATION, "properties": space | subnets}
            )
        )
        ip = {"name": "ipconfig", "properties": {"subnet": {"id": vnet.subnets[0].id}}}
        nic = _done(
            network.network_interfaces.begin_create_or_update(
                GROUP, "nic", {"location": LOCATION, "properties": {"ipConfigurations": [ip]}}
            )
        )
        compute = ComputeManagementClient(self.credential, self.subscription)
        vm = _done(compute.virtual_machines.begin_create_or_update(GROUP, MACHINE, _machine_body(nic.id)))
        return str(vm.identity.principal_id)

    def run_on_machine(self, script: str) -> str:
        """What `az vm run-command invoke` prints."""
        compute = ComputeManagementClient(self.credential, self.subscription)
        body = {"commandId": "RunShellScript", "script": [script]}
        result = _done(compute.virtual_machines.begin_run_command(GROUP, MACHINE, body))
        return "".join(status.message or "" for status in result.value)

    def make_server(self) -> None:
        client = PostgreSQLManagementClient(self.credential, self.subscription)
        properties = {
            "administratorLogin": FIRST_USERNAME,
            "administratorLoginPassword": FIRST_PASSWORD,
            "version": "17",
            "storage": {"storageSizeGB": 32},
            "createMode": "Default",
        }
        sku = {"name": "Standard_B1ms", "tier": "Burstable"}
        _done(
            client.servers.begin_create_or_update(
                GROUP, SERVER, {"location": LOCATION, "sku": sku, "properties": properties}
            )
        )


def _machine_body(nic_id: str) -> dict[str, Any]:
    image = {"publisher": "RedHat", "offer": "RHEL", "sku": "9-lvm-gen2", "version": "latest"}
    return {
        "location": LOCATION,
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B1s"},
            "storageProfile": {"imageReference": image, "osDisk": {"createOption": "FromImage"}},
            "osProfile": {
                "computerName": MACHINE,
                "adminUsername": "azureuser",
                "linuxConfiguration": {
                    "disablePasswordAuthentication": True,
                    "ssh": {"publicKeys": [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": PUBLIC_KEY}]},
                },
            },
            "networkProfile": {"networkInterfaces": [{"id": nic_id}]},
        },
    }


def _done(poller: LROPoller[Any]) -> Any:
    poller.wait(60)
    assert poller.done(), poller.status()
    return poller.result()


def provision(env: dict[str, str], poll_interval: str = "2m", *, everything: bool = False) -> Provisioned:
    """The walkthrough's resources; `everything` adds the VM, the storage account and the Flexible Server."""
    azure = Azure(env)
    azure.make_group()
    azure.make_vault()
    azure.make_storage()
    client_id, principal_id = azure.make_identity()
    azure.grant(principal_id)
    issuer, kubeconfig = azure.make_cluster(poll_interval)
    azure.federate(issuer)
    if everything:
        azure.grant(azure.make_machine())
        azure.make_server()
    return Provisioned(client_id, azure.tenant, issuer, kubeconfig)
