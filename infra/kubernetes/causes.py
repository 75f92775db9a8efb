"""Causes: how grave one is, how it is told, and what the texts of failed mounts mean, most specific first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

DETAIL_LIMIT = 700


class Level(StrEnum):
    """How grave a cause is, gravest first."""

    ERROR = "error"
    """It does not pass by itself: something must be changed."""
    WARNING = "warning"
    """It may pass by itself, as propagation does."""
    INFO = "info"
    """Normal so far."""


@dataclass(frozen=True)
class Diagnosis:
    """One cause.

    Args:
        level: error: does not pass by itself; warning: may pass; info: normal so far.
        subject: the pod, container or Service that it is about.
        summary: the cause in one sentence, without a full stop.
        detail: what was seen, shortened.
        fix: what to do.
        code: the vendor's code or reason, as `AADSTS700213`, `ForbiddenByRbac`, `ErrImagePull`.
    """

    level: Level
    subject: str
    summary: str
    detail: str
    fix: str
    code: str = ""


def told(summary: str, detail: str, fix: str, subject: str = "", level: Level = Level.INFO) -> Diagnosis:
    """Make a diagnosis that has no code."""
    return Diagnosis(level, subject, summary, detail[:DETAIL_LIMIT], fix)


@dataclass(frozen=True)
class Cause:
    """A cause and the texts that it is recognised by.

    Args:
        pattern: what the message holds; without a `code`, what it finds is the code.
        level: how grave it is.
        summary: the cause in one sentence.
        fix: what to do.
        code: a code of its own where the vendor's text has none.
    """

    pattern: re.Pattern[str]
    level: Level
    summary: str
    fix: str
    code: str = ""


_UNKNOWN = Cause(
    re.compile(r"$^"),
    Level.WARNING,
    "The volume cannot be mounted",
    "see the message, the driver's log on the pod's node and the SecretProviderClass",
    "FailedMount",
)


def matching(causes: Sequence[Cause], message: str) -> Cause:
    """Return the first cause whose pattern the message holds, a general one if there is none."""
    return next((cause for cause in causes if cause.pattern.search(message)), _UNKNOWN)


def _cause(pattern: str, level: Level, summary: str, fix: str, code: str = "") -> Cause:
    return Cause(re.compile(pattern), level, summary, fix, code)


MOUNT_CAUSES = (
    _cause(
        r"AADSTS700211\b",
        Level.WARNING,
        "The identity does not trust the cluster's issuer",
        "set the federated credential's issuer to the cluster's OIDC issuer URL, its trailing slash included; "
        "a new one takes effect within minutes",
    ),
    _cause(
        r"AADSTS700212\b",
        Level.WARNING,
        "The identity does not accept the token's audience",
        "set the federated credential's audience to api://AzureADTokenExchange",
    ),
    _cause(
        r"AADSTS700213\d?\b",
        Level.WARNING,
        "The identity does not trust this service account",
        "set the federated credential's subject to system:serviceaccount:NAMESPACE:NAME of the pod's service "
        "account, in the same case; a new one takes effect within minutes",
    ),
    _cause(
        r"AADSTS70021\b",
        Level.WARNING,
        "No federated credential matches the service account's token",
        "compare issuer, subject and audience of the federated credential with the token's",
    ),
    _cause(
        r"AADSTS700016\b",
        Level.ERROR,
        "The tenant has no identity with this client id",
        "set clientID in the SecretProviderClass to the identity's client id, and tenantID to its tenant",
    ),
    _cause(
        r"AADSTS90061\b",
        Level.WARNING,
        "Entra ID cannot reach the cluster's issuer",
        "see whether the cluster's OIDC issuer URL is public",
    ),
    _cause(
        r"AADSTS\d+", Level.WARNING, "Entra ID refuses the pod's identity", "see the code in Entra ID's documentation"
    ),
    _cause(
        r"ForbiddenByRbac",
        Level.WARNING,
        "The identity may not read the vault",
        "give it the role Key Vault Secrets User on the vault; a new assignment takes effect within 10 minutes",
    ),
    _cause(
        r"ForbiddenByFirewall", Level.ERROR, "The vault's firewall refuses the cluster", "allow the cluster's network"
    ),
    _cause(
        r"SecretDisabled|not allowed on a disabled secret",
        Level.ERROR,
        "The newest version of the secret is disabled",
        "enable it, or write a new version: the driver never falls back to an older one",
        "SecretDisabled",
    ),
    _cause(
        r"SecretNotFound|KeyNotFound|CertificateNotFound",
        Level.ERROR,
        "The vault has no object of this name",
        "correct objectName in the SecretProviderClass, or write the secret",
    ),
    _cause(
        r"no such host|VaultNotFound|Name or service not known",
        Level.WARNING,
        "The vault does not exist",
        "correct keyvaultName in the SecretProviderClass; a new vault's name is known within minutes",
        "VaultNotFound",
    ),
    _cause(
        r"Invalid vault name|keyvaultName is not provided",
        Level.ERROR,
        "The vault's name is missing or invalid",
        "set keyvaultName in the SecretProviderClass: 3-24 letters, digits and hyphens",
        "InvalidVaultName",
    ),
    _cause(
        r"tenantI[dD] is not provided|objects is not set|parameters not set|provider not set|failed to yaml unmarshal"
        r"|cloudName \S* is not valid",
        Level.ERROR,
        "The SecretProviderClass is incomplete or invalid",
        "correct the parameter that the message names",
        "InvalidProviderClass",
    ),
    _cause(
        r"failed to build auth config|failed to get auth config|failed to get token",
        Level.ERROR,
        "The pod has no identity for the vault",
        "set clientID in the SecretProviderClass and serviceAccountName in the pod; use neither pod identity nor a "
        "VM's identity beside them",
        "NoIdentity",
    ),
    _cause(
        r"failed to get secretproviderclass .*not found",
        Level.ERROR,
        "The SecretProviderClass does not exist",
        "apply it in the pod's namespace, or correct secretProviderClass in the volume",
        "ProviderClassNotFound",
    ),
    _cause(
        r"provider not found|error connecting to provider",
        Level.WARNING,
        "The Azure provider does not run on the pod's node",
        "see the provider's DaemonSet in kube-system",
        "ProviderMissing",
    ),
    _cause(
        r"driver name secrets-store\.csi\.k8s\.io not found",
        Level.WARNING,
        "The Secrets Store CSI driver does not run on the pod's node",
        "switch on the add-on azure-keyvault-secrets-provider and see its DaemonSet in kube-system",
        "DriverMissing",
    ),
    _cause(
        r"\b429\b|TooManyRequests|Throttled",
        Level.WARNING,
        "The vault throttles the cluster",
        "wait; raise the poll interval if it repeats",
        "Throttled",
    ),
)
