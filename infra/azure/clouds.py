"""Azure's clouds: where to sign in, and what the names of its services end with.

The SDK knows where each cloud signs in and manages; it does not know what the names of services end with.

https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure
https://learn.microsoft.com/azure/china/resources-developer-guide
"""

from dataclasses import dataclass

from azure.core import AzureClouds
from azure.identity import AzureAuthorityHosts
from azure.mgmt.core.tools import get_arm_endpoints

from infra.settings import AzureCloud


@dataclass(frozen=True)
class Cloud:
    """One cloud.

    Args:
        name: what a SecretProviderClass calls it.
        sdk: what the SDK calls it.
        authority: the host of Entra ID.
        vault_domain: what follows the name of a vault; also the resource that its tokens are for.
        blob_domain: what follows the name of a storage account.
        postgres_domain: what follows the name of a Flexible Server.
    """

    name: str
    sdk: AzureClouds
    authority: str
    vault_domain: str
    blob_domain: str
    postgres_domain: str

    @property
    def management(self) -> str:
        """The endpoint of Azure Resource Manager."""
        return str(get_arm_endpoints(self.sdk)["resource_manager"]).rstrip("/")

    @property
    def management_scope(self) -> str:
        """What its tokens are for."""
        (scope,) = get_arm_endpoints(self.sdk)["credential_scopes"]
        return str(scope)


_PUBLIC = Cloud(
    "AzurePublicCloud",
    AzureClouds.AZURE_PUBLIC_CLOUD,
    AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
    vault_domain="vault.azure.net",
    blob_domain="blob.core.windows.net",
    postgres_domain="postgres.database.azure.com",
)
_GOVERNMENT = Cloud(
    "AzureUSGovernmentCloud",
    AzureClouds.AZURE_US_GOVERNMENT,
    AzureAuthorityHosts.AZURE_GOVERNMENT,
    vault_domain="vault.usgovcloudapi.net",
    blob_domain="blob.core.usgovcloudapi.net",
    postgres_domain="postgres.database.usgovcloudapi.net",
)
_CHINA = Cloud(
    "AzureChinaCloud",
    AzureClouds.AZURE_CHINA_CLOUD,
    AzureAuthorityHosts.AZURE_CHINA,
    vault_domain="vault.azure.cn",
    blob_domain="blob.core.chinacloudapi.cn",
    postgres_domain="postgres.database.chinacloudapi.cn",
)
CLOUDS = {AzureCloud.PUBLIC: _PUBLIC, AzureCloud.GOVERNMENT: _GOVERNMENT, AzureCloud.CHINA: _CHINA}
