"""Names and regions that Azure accepts, and what it answers to others.

https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
"""

import re
from dataclasses import dataclass

from lab.azure.arm.errors import ArmError

REGIONS = (
    "eastus",
    "eastus2",
    "centralus",
    "northcentralus",
    "southcentralus",
    "westcentralus",
    "westus",
    "westus2",
    "westus3",
    "canadacentral",
    "canadaeast",
    "brazilsouth",
    "mexicocentral",
    "northeurope",
    "westeurope",
    "uksouth",
    "ukwest",
    "francecentral",
    "germanywestcentral",
    "norwayeast",
    "swedencentral",
    "switzerlandnorth",
    "italynorth",
    "polandcentral",
    "spaincentral",
    "uaenorth",
    "qatarcentral",
    "israelcentral",
    "southafricanorth",
    "centralindia",
    "southindia",
    "westindia",
    "eastasia",
    "southeastasia",
    "japaneast",
    "japanwest",
    "koreacentral",
    "koreasouth",
    "australiaeast",
    "australiasoutheast",
    "australiacentral",
    "newzealandnorth",
)


@dataclass(frozen=True)
class NameRule:
    """What a name must look like, and the error that others get.

    Args:
        pattern: the whole name matches it.
        code: the error's code.
        message: the error's text; `{name}` is replaced.
    """

    pattern: str
    code: str
    message: str

    def check(self, name: str) -> None:
        """Raise a 400 unless `name` fits."""
        if not re.fullmatch(self.pattern, name, re.ASCII):
            raise ArmError(400, self.code, self.message.replace("{name}", name))


NETWORK_NAME = NameRule(
    r"[A-Za-z0-9]([-.\w]{0,78}\w)?",
    "InvalidResourceName",
    "Resource name {name} is invalid. The name can be up to 80 characters long. It must begin with a word character, "
    "and it must end with a word character or with '_'. The name may contain word characters or '.', '-', '_'.",
)
MACHINE_NAME = NameRule(
    r"[A-Za-z0-9]([-.\w]{0,62}[A-Za-z0-9_])?",
    "InvalidParameter",
    "The entity name 'vmName' is invalid according to its validation rule: ^[^_\\W][\\w-._]{0,79}(?<![-.])$.",
)
VAULT_NAME = NameRule(
    r"(?=.{3,24}$)[A-Za-z](-?[A-Za-z0-9])+",
    "VaultNameNotValid",
    "The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must "
    "begin with a letter, end with a letter or digit, and not contain consecutive hyphens. Follow this link for more "
    "information: https://go.microsoft.com/fwlink/?linkid=2147742",
)
ACCOUNT_NAME = NameRule(
    r"[a-z0-9]{3,24}",
    "AccountNameInvalid",
    "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length "
    "and use numbers and lower-case letters only.",
)
CONTAINER_NAME = NameRule(
    r"(?=.{3,63}$)([a-z0-9](-?[a-z0-9])*|\$root|\$web)",
    "ContainerOperationFailure",
    "The specified resource name contains invalid characters.",
)
IDENTITY_NAME = NameRule(
    r"[A-Za-z0-9][-\w]{2,127}",
    "InvalidResourceName",
    "The resource name '{name}' is invalid. It must begin with a letter or number, and contain 3 to 128 letters, "
    "numbers, hyphens and underscores.",
)
FEDERATED_NAME = NameRule(
    r"[A-Za-z0-9][-\w]{2,119}",
    "InvalidResourceName",
    "The resource name '{name}' is invalid. It must begin with a letter or number, and contain 3 to 120 letters, "
    "numbers, hyphens and underscores.",
)
CLUSTER_NAME = NameRule(
    r"[A-Za-z0-9]([-\w]{0,61}[A-Za-z0-9])?",
    "InvalidParameter",
    "The value of parameter name is invalid. Error details: The cluster name '{name}' must be 1 to 63 characters, "
    "contain only letters, numbers, underscores and hyphens, and start and end with a letter or number. Please see "
    "https://aka.ms/aks-naming-rules for more details.",
)
POOL_NAME = NameRule(
    r"[a-z][a-z0-9]{0,11}",
    "InvalidParameter",
    "The value of parameter agentPoolProfile.name is invalid. Error details: Agent pool name '{name}' must start with "
    "a lowercase letter, have max length of 12, and only have characters a-z0-9. Please see "
    "https://aka.ms/aks-naming-rules for more details.",
)
SERVER_NAME = NameRule(
    r"(?=.{3,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "InvalidParameterValue",
    "Invalid value given for parameter ServerName. Specify a valid parameter value: 3 to 63 lowercase letters, "
    "numbers and hyphens, not beginning or ending with a hyphen.",
)


def check_group(name: str) -> None:
    """Raise a 400 unless `name` may be a resource group's."""
    wrong = "".join(dict.fromkeys(re.sub(r"[-\w.()]", "", name)))
    if not wrong and name.endswith("."):
        wrong = "."
    if wrong:
        text = f"The provided resource group name '{name}' has these invalid characters: '{wrong}'. "
        raise ArmError(
            400, "InvalidResourceGroup", text + "The name can only be a letter, digit, '-', '.', '(', ')' or '_'."
        )
    if not 1 <= len(name) <= 90:
        text = (
            f"The provided resource group name has a length of '{len(name)}' which exceeds the maximum length of '90'."
        )
        raise ArmError(400, "InvalidResourceGroup", text)


def normalise_region(location: str) -> str:
    """The region's short name: "East US 2" is "eastus2"."""
    return location.replace(" ", "").lower()


def check_region(location: str, type_name: str) -> None:
    """Raise a 400 unless `location` is a region."""
    if not location:
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    if normalise_region(location) not in REGIONS:
        raise ArmError(
            400,
            "LocationNotAvailableForResourceType",
            f"The provided location '{location}' is not available for resource type '{type_name}'. List of available "
            f"regions for the resource type is '{','.join(REGIONS)}'.",
        )
