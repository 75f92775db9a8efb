"""What tokens can be asked for: the resources of the tenant, as sign-in and IMDS know them."""

import re

ARM_AUDIENCES = (
    "https://management.azure.com",
    "https://management.azure.com/",
    "https://management.core.windows.net",
    "https://management.core.windows.net/",
)
VAULT_AUDIENCES = ("https://vault.azure.net", "https://vault.azure.net/", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093")
STORAGE_AUDIENCES = ("https://storage.azure.com", "https://storage.azure.com/")
CLUSTER_AUDIENCES = ("6dae42f8-4368-4678-94ff-3960e28e3630",)
"""The application that stands for all managed clusters."""
GRAPH_AUDIENCES = ("https://graph.microsoft.com", "https://graph.microsoft.com/")
_OTHERS = (*GRAPH_AUDIENCES, "https://ossrdbms-aad.database.windows.net")
_BLOB_ACCOUNT = re.compile(r"https://[a-z0-9]{3,24}\.blob\.core\.windows\.net/?")


def is_resource(resource: str) -> bool:
    """Whether the tenant has a principal for this resource."""
    known = (*ARM_AUDIENCES, *VAULT_AUDIENCES, *STORAGE_AUDIENCES, *CLUSTER_AUDIENCES, *_OTHERS)
    return resource in known or _BLOB_ACCOUNT.fullmatch(resource) is not None


def storage_audiences(account: str) -> tuple[str, ...]:
    """The audiences that an account's blob service accepts."""
    own = f"https://{account}.blob.core.windows.net"
    return (*STORAGE_AUDIENCES, own, f"{own}/")
