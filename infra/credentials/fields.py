r"""The kinds of fields that several parameter models share: their title, bounds and help, each written once.

A pattern leaves the length to `max_length`: to compile `\w{0,89}`, which is all of Unicode 89 times, takes 20 ms, in
each model that has such a field.
"""

from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_LABEL = rf"^{_LABEL}$"
DNS_SUBDOMAIN = rf"^{_LABEL}(\.{_LABEL})*$"
"""What Kubernetes lets most objects be called: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/."""
HOST = r"^([0-9A-Za-z]([-0-9A-Za-z.]*[0-9A-Za-z])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$"
"""A host name, an IPv4 address or an IPv6 address."""
CREDENTIAL_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SECRET_NAME = r"^[0-9a-zA-Z-]{1,127}$"  # noqa: S105

RULES = {
    DNS_LABEL: "lower-case letters, digits and hyphens; a letter or digit first and last",
    DNS_SUBDOMAIN: "lower-case letters, digits, hyphens and dots; a letter or digit first and last",
    SECRET_NAME: "1-127 letters, digits and hyphens",
}
"""Pattern -> what it lets through, in words."""


class Model(BaseModel):
    """Base of all parameter models: unknown fields are refused, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_enum_values=False)


ResourceGroup = Annotated[
    str,
    Field(
        title="Resource group",
        description="1-90 letters, digits, . _ - ( ), not ending with a dot.",
        max_length=90,
        pattern=r"^[-\w.()]*[-\w()]$",
    ),
]
ClusterName = Annotated[
    str,
    Field(
        title="AKS cluster",
        description="1-63 letters, digits, hyphens and underscores.",
        max_length=63,
        pattern=r"^[a-zA-Z0-9]([-\w]*[a-zA-Z0-9])?$",
    ),
]
VaultName = Annotated[
    str,
    Field(
        title="Key vault",
        description="3-24 letters, digits and hyphens, beginning with a letter; unique in all of Azure.",
        min_length=3,
        max_length=24,
        pattern=r"^[a-zA-Z](-?[a-zA-Z0-9])+$",
    ),
]
SecretName = Annotated[
    str,
    Field(
        title="Secret",
        description="Name of a secret in the vault: 1-127 letters, digits and hyphens.",
        pattern=SECRET_NAME,
    ),
]
ServerName = Annotated[
    str,
    Field(
        title="Flexible Server",
        description="3-63 lower-case letters, digits and hyphens; unique in all of Azure.",
        min_length=3,
        max_length=63,
        pattern=DNS_LABEL,
    ),
]
Namespace = Annotated[
    str, Field(title="Namespace", description="The Kubernetes namespace.", max_length=63, pattern=DNS_LABEL)
]
ObjectName = Annotated[str, Field(max_length=253, pattern=DNS_SUBDOMAIN)]
"""The name of a Kubernetes object: labels of lower-case letters, digits and hyphens, separated by dots."""
DatabaseName = Annotated[
    str,
    Field(
        title="Database",
        description="The database to log in to. `postgres` exists on every server.",
        min_length=1,
        max_length=63,
    ),
]


def _check_network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError(f"'{text}' is neither an IP address nor a network: write 10.1.2.3 or 10.1.2.0/24") from None


Network = Annotated[str, AfterValidator(_check_network)]
"""An IP address, or a network such as 10.1.2.0/24."""
ReadyTimeout = Annotated[
    int, Field(title="Ready timeout (seconds)", description="Bound on the wait for the pods.", ge=1, le=3600)
]
