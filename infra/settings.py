"""Settings: what belongs to the place where Keyturn runs, not to one run. Read from the environment."""

from enum import StrEnum
from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AzureCloud(StrEnum):
    """Which of Azure's clouds the subscription is in; see infra.azure.clouds."""

    PUBLIC = "public"
    GOVERNMENT = "government"
    CHINA = "china"


class Settings(BaseSettings):
    """Settings of the process, from `KEYTURN_*` and Azure's own variables.

    Proxies and certificate bundles are read by the SDKs themselves (HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE,
    SSL_CERT_FILE), credentials by DefaultAzureCredential (AZURE_CLIENT_ID and so on).
    """

    model_config = SettingsConfigDict(env_prefix="KEYTURN_", populate_by_name=True, extra="ignore", frozen=True)

    subscription_id: str = Field(
        "",
        validation_alias=AliasChoices("KEYTURN_SUBSCRIPTION_ID", "AZURE_SUBSCRIPTION_ID"),
        description="The Azure subscription that everything is in.",
    )
    azure_cloud: AzureCloud = Field(AzureCloud.PUBLIC, description="The cloud that the subscription is in.")
    credentials: Path = Field(
        Path("credentials.yaml"),
        description="The inventory: a file, or a folder of files, that says which credentials there are.",
    )
    stacks: Path = Field(Path("manifests"), description="Where stacks are: <stacks>/<name>/stack.yaml.")
    kubeconfig: Path | None = Field(
        None,
        description="A kubeconfig to use instead of the one that AKS gives for the credential's cluster. Its context "
        "is the one with the cluster's name, and must lead to that cluster. "
        "KUBECONFIG is deliberately not read: it may point at another cluster.",
    )
    kube_context: str | None = Field(
        None, description="The context in that kubeconfig, where it is not called as the cluster is."
    )
    resolve: str = Field(
        "",
        description="Where databases' names that are not reached by DNS are found, as curl's --connect-to: "
        "comma-separated HOST:PORT:ADDRESS:PORT, HOST may be *.DOMAIN. "
        "For private endpoints and tunnels; TLS still verifies HOST. Azure and clusters are not concerned.",
    )
    postgres_ca_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("KEYTURN_POSTGRES_CA_FILE", "SSL_CERT_FILE"),
        description="The certificate authorities that a PostgreSQL server's certificate must come from; "
        "certifi's by default.",
    )
    connect_timeout_seconds: int = Field(5, ge=1, le=60, description="Bound on one connection attempt.")
    request_timeout_seconds: int = Field(30, ge=1, le=600, description="Bound on one request to a service.")
    runbook_url: str = Field(
        "docs/runbook.md", description="Where people read the runbook; reports of rotations link to its sections."
    )
    propagation_timeout_seconds: int = Field(
        600, ge=1, le=3600, description="How long to wait for new role assignments and federated credentials."
    )
