"""What is asked before anything is made or removed: resource providers, the caller's rights, what the region offers."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from prefect import get_run_logger

from infra.azure.catalogue import list_machine_sizes, list_server_offers
from infra.azure.client import Azure
from infra.azure.kinds import kinds_of
from infra.azure.permissions import find_denied
from infra.azure.vaults import PURGE, PURGER
from infra.errors import MISSING_ROLE, AccessDenied, KeyturnError
from infra.provisioning.changes import ProvisioningPlan, Verb
from infra.provisioning.checks import Catalogue, Right, block, find_unsupported, list_rights, refuse_rights
from infra.provisioning.comparing import Resource
from infra.provisioning.kinds import Found, Kinds
from infra.provisioning.options import Stack
from infra.provisioning.reconciling import find_all
from infra.provisioning.resources import DatabaseServer, Machine, ManagedCluster, ResourceGroup, ResourceProvider, Vault
from tasks.context import opened_azure
from tasks.retries import task_with_retries

T = TypeVar("T")
ALWAYS_REGISTERED = ("Microsoft.Authorization", "Microsoft.Resources")
DELETE_GROUP = "Microsoft.Resources/subscriptions/resourceGroups/delete"


@task_with_retries(name="Check what the plan needs", run_name="check the rights for {stack.resource_group}")
def check_plan(plan: ProvisioningPlan, stack: Stack) -> KeyturnError | None:
    """Return what would keep the plan from being made, all of it in one error; None for nothing."""
    if not plan.left:
        return None
    with opened_azure() as azure:
        errors = [*_check_rights(plan, azure, stack), *_check_offers(plan, azure, stack)]
    return block(errors, stack.resource_group)


@task_with_retries(name="Check the rights to remove", run_name="check the rights to remove {stack.resource_group}")
def check_removal(stack: Stack, rows: Sequence[Mapping[str, str]]) -> KeyturnError | None:
    """Return the error that names the rights which the removal needs and the caller has not; None for none.

    Without the right to purge, the group would be gone and the vault's name taken.
    """
    kinds = {row["kind"].lower() for row in rows}
    has_group, rights = "resource group" in kinds, list[Right]()
    if has_group:
        rights.append(Right(DELETE_GROUP, "Contributor"))
    if kinds & {"soft-deleted vault", Vault.TYPE.lower()}:
        rights.append(Right(PURGE, PURGER, in_subscription=True))
    with opened_azure() as azure:
        denied = _find_denied(azure, stack, rights, has_group)
    return block(refuse_rights(denied, _scopes(stack, has_group)), stack.resource_group)


def find_unregistered(kinds: Kinds, wanted: Sequence[Resource]) -> list[ResourceProvider]:
    """Return the resource providers that the wanted resources need and the subscription has not registered.

    Who may not see them is taken to have them all.
    """
    names = {get_namespace(kinds, resource) for resource in wanted} - {"", *ALWAYS_REGISTERED}
    providers = [ResourceProvider(name=name) for name in sorted(names)]
    everything = {provider.key: Found(provider) for provider in providers}
    unseen = "whether the resource providers are registered"
    found = unless_denied(lambda: find_all(kinds, providers), everything, unseen)
    return [provider for provider in providers if provider.key not in found]


def get_namespace(kinds: Kinds, resource: Resource) -> str:
    """Return the namespace of a resource's provider; empty for what is on the data plane."""
    return kinds[type(resource)].action.partition("/")[0]


def unless_denied(ask: Callable[[], T], default: T, unseen: str) -> T:
    """Return an answer, or the default and a warning if the caller may not even ask: then nothing is checked."""
    try:
        return ask()
    except AccessDenied as error:
        if error.code not in MISSING_ROLE:
            raise
        get_run_logger().warning("Not checked: %s. %s", unseen, error.fix)
        return default


def _check_rights(plan: ProvisioningPlan, azure: Azure, stack: Stack) -> list[KeyturnError]:
    creates = {type(change.resource) for change in plan.left if change.verb is Verb.CREATE}
    has_group = ResourceGroup not in creates
    rights = list_rights(plan, kinds_of(azure, stack.resource_group))
    return refuse_rights(_find_denied(azure, stack, rights, has_group), _scopes(stack, has_group))


def _check_offers(plan: ProvisioningPlan, azure: Azure, stack: Stack) -> list[KeyturnError]:
    """Look at what the region offers; a provider that is not registered yet would be by that, so it is not asked."""
    asking = {type(change.resource) for change in plan.left}
    missing = {change.resource.name for change in plan.left if isinstance(change.resource, ResourceProvider)}
    asks_servers = DatabaseServer in asking and "Microsoft.DBforPostgreSQL" not in missing
    asks_machines = asking & {Machine, ManagedCluster} and "Microsoft.Compute" not in missing
    unseen, where = f"what {stack.location} offers", stack.location
    servers = unless_denied(lambda: list_server_offers(azure, where), None, unseen) if asks_servers else None
    machines = unless_denied(lambda: list_machine_sizes(azure, where), None, unseen) if asks_machines else None
    versions, sizes = servers or (None, None)
    error = find_unsupported(plan, Catalogue(versions, sizes, machines), where)
    return [error] if error else []


def _find_denied(azure: Azure, stack: Stack, rights: Sequence[Right], has_group: bool) -> list[Right]:
    """Return the rights that the caller has not; without a resource group all are asked for in the subscription."""
    subscription = f"/subscriptions/{azure.settings.subscription_id}"
    group = f"{subscription}/resourceGroups/{stack.resource_group}" if has_group else subscription
    above = [right.action for right in rights if right.in_subscription]
    inside = [right.action for right in rights if not right.in_subscription]
    denied = {*_ask(azure, subscription, above), *_ask(azure, group, inside)}
    return [right for right in rights if right.action in denied]


def _ask(azure: Azure, scope: str, actions: Sequence[str]) -> list[str]:
    if not actions:
        return []
    return unless_denied(lambda: find_denied(azure, scope, actions), [], f"what the caller may do in {scope}")


def _scopes(stack: Stack, has_group: bool) -> dict[bool, str]:
    subscription = "the subscription"
    return {True: subscription, False: f"the resource group {stack.resource_group}" if has_group else subscription}
