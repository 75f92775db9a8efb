"""What a Flexible Server is called: by its clients, and by whoever asks for permissions. Needs nothing of the SDK."""

from infra.azure.clouds import CLOUDS
from infra.settings import AzureCloud

SERVER_TYPE = "Microsoft.DBforPostgreSQL/flexibleServers"


def get_host(name: str, cloud: AzureCloud = AzureCloud.PUBLIC) -> str:
    """Return the host name of a Flexible Server."""
    return f"{name}.{CLOUDS[cloud].postgres_domain}"
