"""Azure's clouds: where to sign in, and what the names of its services end with.

https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure
https://learn.microsoft.com/azure/china/resources-developer-guide
"""

from dataclasses import dataclass

from infra.settings import AzureCloud


@dataclass(frozen=True)
class Cloud:
    """One cloud.

    Args:
        authority: the host of Entra ID.
        management: the endpoint of Azure Resource Manager.
        management_scope: what its tokens are for.
        vault_domain: what follows the name of a vault; also the resource that its tokens are for.
        blob_domain: what follows the name of a storage account.
        postgres_domain: what follows the name of a Flexible Server.
        name: what a SecretProviderClass calls it.
    """

    authority: str
    management: str
    management_scope: str
    vault_domain: str
    blob_domain: str
    postgres_domain: str
    name: str


CLOUDS = {
    AzureCloud.PUBLIC: Cloud(
        authority="login.microsoftonline.com",
        management="https://management.azure.com",
        management_scope="https://management.azure.com/.default",
        vault_domain="vault.azure.net",
        blob_domain="blob.core.windows.net",
        postgres_domain="postgres.database.azure.com",
        name="AzurePublicCloud",
    ),
    AzureCloud.GOVERNMENT: Cloud(
        authority="login.microsoftonline.us",
        management="https://management.usgovcloudapi.net",
        management_scope="https://management.core.usgovcloudapi.net/.default",
        vault_domain="vault.usgovcloudapi.net",
        blob_domain="blob.core.usgovcloudapi.net",
        postgres_domain="postgres.database.usgovcloudapi.net",
        name="AzureUSGovernmentCloud",
    ),
    AzureCloud.CHINA: Cloud(
        authority="login.chinacloudapi.cn",
        management="https://management.chinacloudapi.cn",
        management_scope="https://management.chinacloudapi.cn/.default",
        vault_domain="vault.azure.cn",
        blob_domain="blob.core.chinacloudapi.cn",
        postgres_domain="postgres.database.chinacloudapi.cn",
        name="AzureChinaCloud",
    ),
}
