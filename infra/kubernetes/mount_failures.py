"""What the texts of failed mounts mean: the table of known causes, most specific first.

The texts are those of the kubelet, the Secrets Store CSI driver and its Azure provider.
https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/troubleshooting/
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How serious a cause is, most serious first."""

    ERROR = "error"
    """Permanent: somebody must change something."""
    WARNING = "warning"
    """Possibly transient, as propagation is."""
    INFO = "info"
    """Normal so far."""


@dataclass(frozen=True)
class Cause:
    """A cause and the texts that show it.

    Args:
        pattern: what the message contains; if `code` is empty, what it matches is the code.
        level: how serious it is.
        summary: the cause in one sentence.
        fix: how to fix it.
        code: a code of Keyturn's own where the vendor's text has none.
    """

    pattern: re.Pattern[str]
    level: Level
    summary: str
    fix: str
    code: str = ""


def explain_mount_failure(message: str) -> tuple[Cause, str]:
    """Return the first cause that a message shows, a general one if there is none, and its code."""
    cause = next((cause for cause in _CAUSES if cause.pattern.search(message)), _UNKNOWN)
    return cause, cause.code or cause.pattern.findall(message)[0]


def _cause(pattern: str, level: Level, summary: str, fix: str, code: str = "") -> Cause:
    return Cause(re.compile(pattern), level, summary, fix, code)


_UNKNOWN = _cause(
    r"$^",
    Level.WARNING,
    "The volume cannot be mounted",
    "See the message, the driver's log on the pod's node and the SecretProviderClass",
    "FailedMount",
)

_CAUSES = (
    _cause(
        r"AADSTS700211\b",
        Level.WARNING,
        "The identity does not trust the cluster's issuer",
        "Set the federated credential's issuer to the cluster's OIDC issuer URL, its trailing slash included; "
        "a new one takes effect within minutes",
    ),
    _cause(
        r"AADSTS700212\b",
        Level.WARNING,
        "The identity does not accept the token's audience",
        "Set the federated credential's audience to api://AzureADTokenExchange",
    ),
    _cause(
        r"AADSTS700213\d?\b",
        Level.WARNING,
        "The identity does not trust this service account",
        "Set the federated credential's subject to system:serviceaccount:NAMESPACE:NAME of the pod's service "
        "account, in the same case; a new one takes effect within minutes",
    ),
    _cause(
        r"AADSTS70021\b",
        Level.WARNING,
        "No federated credential matches the service account's token",
        "Compare issuer, subject and audience of the federated credential with the token's",
    ),
    _cause(
        r"AADSTS700016\b",
        Level.ERROR,
        "The tenant has no identity with this client id",
        "Set clientID in the SecretProviderClass to the identity's client id, and tenantID to its tenant",
    ),
    _cause(
        r"AADSTS90061\b",
        Level.WARNING,
        "Entra ID cannot reach the cluster's issuer",
        "Make sure that the cluster's OIDC issuer URL is public",
    ),
    _cause(
        r"AADSTS\d+",
        Level.WARNING,
        "Entra ID rejects the pod's identity",
        "Look up the code in Entra ID's documentation",
    ),
    _cause(
        r"ForbiddenByRbac",
        Level.WARNING,
        "The identity may not read the secret, or the vault has none of this name",
        "Correct objectName in the SecretProviderClass, or give the identity the role Key Vault Secrets User on the "
        "secret; a new assignment takes effect within 10 minutes",
    ),
    _cause(
        r"ForbiddenByFirewall", Level.ERROR, "The vault's firewall blocks the cluster", "Allow the cluster's network"
    ),
    _cause(
        r"(?s)objectVersion:[^:\s]+: .*(?:SecretDisabled|not allowed on a disabled secret)",
        Level.ERROR,
        "The version of the secret that the SecretProviderClass names is disabled",
        "Enable it, or take objectVersion out of the SecretProviderClass, so that it mounts the newest version",
        "PinnedVersionDisabled",
    ),
    _cause(
        r"SecretDisabled|not allowed on a disabled secret",
        Level.ERROR,
        "The newest version of the secret is disabled",
        "Enable it, or write a new version: the driver never falls back to an older one",
        "SecretDisabled",
    ),
    _cause(
        r"SecretNotFound|KeyNotFound|CertificateNotFound",
        Level.ERROR,
        "The vault has no object of this name",
        "Correct objectName in the SecretProviderClass, or write the secret",
    ),
    _cause(
        r"no such host|VaultNotFound|Name or service not known",
        Level.WARNING,
        "The vault does not exist",
        "Correct keyvaultName in the SecretProviderClass; a new vault's name resolves within minutes",
        "VaultNotFound",
    ),
    _cause(
        r"Invalid vault name|keyvaultName is not provided",
        Level.ERROR,
        "The vault's name is missing or invalid",
        "Set keyvaultName in the SecretProviderClass: 3-24 letters, digits and hyphens",
        "InvalidVaultName",
    ),
    _cause(
        r"tenantI[dD] is not provided|objects is not set|parameters not set|provider not set|failed to yaml unmarshal"
        r"|cloudName \S* is not valid",
        Level.ERROR,
        "The SecretProviderClass is incomplete or invalid",
        "Correct the parameter that the message names",
        "InvalidProviderClass",
    ),
    _cause(
        r"failed to build auth config|failed to get auth config|failed to get token",
        Level.ERROR,
        "The pod has no identity for the vault",
        "Set clientID in the SecretProviderClass and serviceAccountName in the pod; enable neither pod identity nor "
        "a VM's identity beside them",
        "NoIdentity",
    ),
    _cause(
        r"failed to get secretproviderclass .*not found",
        Level.ERROR,
        "The SecretProviderClass does not exist",
        "Apply it in the pod's namespace, or correct secretProviderClass in the volume",
        "ProviderClassNotFound",
    ),
    _cause(
        r"provider not found|error connecting to provider",
        Level.WARNING,
        "The Azure provider is not running on the pod's node",
        "See the provider's DaemonSet in kube-system",
        "ProviderMissing",
    ),
    _cause(
        r"driver name secrets-store\.csi\.k8s\.io not found",
        Level.WARNING,
        "The Secrets Store CSI driver is not running on the pod's node",
        "Enable the add-on azure-keyvault-secrets-provider and see its DaemonSet in kube-system",
        "DriverMissing",
    ),
    _cause(
        r"\b429\b|TooManyRequests|Throttled",
        Level.WARNING,
        "The vault throttles the cluster",
        "Wait; if it repeats, raise the poll interval",
        "Throttled",
    ),
)
