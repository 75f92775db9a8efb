"""The versions of the API that each resource provider has, and what ARM answers to others.

https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types
"""

from lab.azure.arm.errors import ArmError
from lab.azure.arm.ids import Path
from lab.azure.arm.names import REGIONS

RESOURCES = "Microsoft.Resources"
"""What has no provider in its path: subscriptions, groups, tenants."""
API_VERSIONS = {
    RESOURCES: """
        2014-04-01-preview 2014-04-01 2015-01-01 2015-11-01 2016-02-01 2016-06-01 2016-07-01 2016-09-01 2017-03-01
        2017-05-01 2017-05-10 2017-06-01 2017-08-01 2018-01-01 2018-02-01 2018-05-01 2018-06-01 2018-07-01 2018-08-01
        2018-09-01 2018-11-01 2019-03-01 2019-05-01 2019-05-10 2019-06-01 2019-07-01 2019-08-01 2019-09-01 2019-10-01
        2019-11-01 2020-01-01 2020-05-01 2020-06-01 2020-07-01 2020-08-01 2020-09-01 2020-10-01 2021-01-01 2021-04-01
        2022-01-01 2022-05-01 2022-06-01 2022-09-01 2022-12-01 2023-07-01 2024-03-01 2024-07-01 2024-11-01 2025-03-01
        2025-04-01""",
    "Microsoft.Authorization": """
        2014-10-01-preview 2015-06-01 2015-07-01 2016-07-01 2017-05-01 2017-09-01 2017-10-01-preview 2018-01-01-preview
        2018-07-01 2018-09-01-preview 2019-04-01-preview 2020-03-01-preview 2020-04-01-preview 2020-08-01-preview
        2020-10-01-preview 2021-04-01-preview 2022-01-01-preview 2022-04-01 2022-05-01-preview""",
    "Microsoft.Compute": """
        2015-06-15 2016-03-30 2016-04-30-preview 2016-08-30 2017-03-30 2017-12-01 2018-04-01 2018-06-01 2018-10-01
        2019-03-01 2019-07-01 2019-12-01 2020-06-01 2020-12-01 2021-03-01 2021-04-01 2021-07-01 2021-11-01 2022-03-01
        2022-08-01 2022-11-01 2023-03-01 2023-07-01 2023-09-01 2024-03-01 2024-07-01 2024-11-01 2025-04-01 2025-11-01
        2026-03-01 2026-04-01""",
    "Microsoft.ContainerService": """
        2017-08-31 2018-03-31 2018-08-01-preview 2019-02-01 2019-04-01 2019-06-01 2019-08-01 2019-10-01 2019-11-01
        2020-01-01 2020-02-01 2020-03-01 2020-04-01 2020-06-01 2020-07-01 2020-09-01 2020-11-01 2020-12-01 2021-02-01
        2021-03-01 2021-05-01 2021-07-01 2021-08-01 2021-09-01 2021-10-01 2022-01-01 2022-02-01 2022-03-01 2022-04-01
        2022-06-01 2022-07-01 2022-09-01 2022-11-01 2023-01-01 2023-02-01 2023-03-01 2023-04-01 2023-05-01 2023-06-01
        2023-07-01 2023-08-01 2023-09-01 2023-10-01 2023-11-01 2024-01-01 2024-02-01 2024-05-01 2024-06-01 2024-07-01
        2024-08-01 2024-09-01 2024-10-01 2025-01-01 2025-02-01 2025-03-01 2025-04-01 2025-05-01 2025-06-01 2025-07-01
        2025-08-01 2025-09-01 2025-10-01 2026-01-01 2026-02-01 2026-03-01 2026-04-01 2026-05-01 2026-06-01 2026-07-01
        2026-08-01""",
    "Microsoft.DBforPostgreSQL": """
        2020-02-14-preview 2020-11-05-preview 2021-06-01-preview 2021-06-01 2022-01-20-preview 2022-03-08-preview
        2022-12-01 2023-03-01-preview 2023-06-01-preview 2023-12-01-preview 2024-03-01-preview 2024-08-01
        2024-11-01-preview 2025-01-01-preview 2025-06-01-preview 2025-08-01 2026-01-01-preview 2026-04-01-preview
        2026-07-01-preview 2026-10-01""",
    "Microsoft.KeyVault": """
        2015-06-01 2016-10-01 2018-02-14-preview 2018-02-14 2019-09-01 2020-04-01-preview 2021-04-01-preview
        2021-06-01-preview 2021-10-01 2021-11-01-preview 2022-02-01-preview 2022-07-01 2022-11-01 2023-02-01 2023-07-01
        2023-08-01-preview 2024-04-01-preview 2024-11-01 2024-12-01-preview 2025-05-01 2026-02-01 2026-03-01-preview
        2026-04-01-preview 2026-04-01 2026-05-15""",
    "Microsoft.ManagedIdentity": """
        2015-08-31-preview 2018-11-30 2021-09-30-preview 2022-01-31-preview 2023-01-31 2023-07-31-preview 2024-11-30
        2025-01-31-preview 2025-05-31-preview""",
    "Microsoft.Network": """
        2015-06-15 2016-09-01 2016-12-01 2017-03-01 2017-06-01 2017-08-01 2017-09-01 2017-10-01 2017-11-01 2018-01-01
        2018-02-01 2018-04-01 2018-06-01 2018-07-01 2018-08-01 2018-10-01 2018-11-01 2018-12-01 2019-02-01 2019-04-01
        2019-06-01 2019-07-01 2019-08-01 2019-09-01 2019-11-01 2019-12-01 2020-03-01 2020-04-01 2020-05-01 2020-06-01
        2020-07-01 2020-08-01 2020-11-01 2021-02-01 2021-03-01 2021-05-01 2021-08-01 2022-01-01 2022-05-01 2022-07-01
        2022-09-01 2022-11-01 2023-02-01 2023-04-01 2023-05-01 2023-06-01 2023-09-01 2023-11-01 2024-01-01 2024-03-01
        2024-05-01 2024-07-01 2024-10-01 2025-01-01 2025-03-01 2025-05-01 2025-07-01 2025-09-01 2026-01-01 2026-03-01
        2026-09-01""",
    "Microsoft.Storage": """
        2015-06-15 2016-01-01 2016-05-01 2016-12-01 2017-06-01 2017-10-01 2018-02-01 2018-03-01-preview 2018-07-01
        2018-11-01 2019-04-01 2019-06-01 2020-08-01-preview 2021-01-01 2021-02-01 2021-04-01 2021-06-01 2021-08-01
        2021-09-01 2022-05-01 2022-09-01 2023-01-01 2023-04-01 2023-05-01 2024-01-01 2025-01-01 2025-06-01 2025-08-01
        2026-04-01 2026-06-01 2026-09-01""",
}
"""Namespace -> its versions. Previews are listed as far as clients are known to use them."""
_KNOWN = {namespace.lower(): tuple(versions.split()) for namespace, versions in API_VERSIONS.items()}


def versions_of(namespace: str) -> tuple[str, ...]:
    """The versions of a provider, the oldest first; empty for one that is not there."""
    return _KNOWN.get(namespace.lower(), ())


def check_api_version(path: Path, version: str, method: str) -> None:
    """Raise unless a provider has a version of the API; one that is not there is refused later, with its types.

    Raises:
        ArmError: 400 InvalidApiVersionParameter, 400 NoRegisteredProviderFound or 404 InvalidResourceType.
    """
    about_provider = path.types in ((), ("register",))
    namespace = RESOURCES if about_provider else path.namespace or RESOURCES
    known = versions_of(namespace)
    if not known or version.lower() in known:
        return
    supported, kind = ",".join(known), "/".join(path.types)
    if namespace == RESOURCES:
        text = f"The api-version '{version}' is invalid. The supported versions are '{supported}'."
        raise ArmError(400, "InvalidApiVersionParameter", text)
    if method == "PUT":
        text = f"No registered resource provider found for API version '{version}' for type '{kind}'. The supported "
        text += f"api-versions are '{supported}'. The supported locations are '{', '.join(REGIONS)}'."
        raise ArmError(400, "NoRegisteredProviderFound", text)
    text = f"The resource type '{kind}' could not be found in the namespace '{namespace}' for api version '{version}'. "
    raise ArmError(404, "InvalidResourceType", f"{text}The supported api-versions are '{supported}'.")
