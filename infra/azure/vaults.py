"""Key vaults: made in RBAC mode, recovered, purged. Their secrets are infra.azure.secrets' subject.

A deleted vault keeps its name, its secrets and its place for some days. Of the two ways on, provisioning
recovers: that loses nothing and ends where it should. Only `tear_down` purges.
https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview
"""

from azure.mgmt.keyvault import KeyVaultManagementClient, models

from infra.azure.credentials import managed
from infra.azure.errors import translated
from infra.azure.names import get_group_of, get_location
from infra.azure.operations import OnProgress, finish, get_state, ignore
from infra.errors import NotFound
from infra.provisioning.plan import Found, State
from infra.provisioning.resources import Vault
from infra.settings import Settings


def find_vault(wanted: Vault, group: str, settings: Settings) -> Found | None:
    """Return the vault, or a soft-deleted one that holds its name, or None.

    A name that is taken elsewhere in Azure is found as well: it cannot be had.
    """
    name = wanted.name
    with managed(KeyVaultManagementClient, settings) as client:
        try:
            with translated("Cannot look at the vault", name=name, role="Reader", scope=f"the group {group}"):
                found = client.vaults.get(group, name)
        except NotFound:
            return _find_deleted(client, name) or _find_taken(client, name)
    said = str(found.properties.provisioning_state or "")
    return Found(_seen(found, name), _state(said), said)


def put_vault(wanted: Vault, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Make a vault, or put the one that is there into RBAC mode; all else of that one is kept."""
    found = find_vault(wanted, group, settings)
    if found is None or found.resource is None:
        properties = models.VaultProperties(
            tenant_id=wanted.tenant or "",
            sku=models.Sku(family="A", name="standard"),
            enable_rbac_authorization=wanted.rbac,
            soft_delete_retention_in_days=wanted.soft_delete_days,
        )
        _put(wanted, properties, group, settings, on_progress)
        return
    patch = models.VaultPatchParameters(properties=models.VaultPatchProperties(enable_rbac_authorization=wanted.rbac))
    with (
        translated("Cannot change the vault", name=wanted.name, role="Contributor", scope=f"the group {group}"),
        managed(KeyVaultManagementClient, settings) as client,
    ):
        client.vaults.update(group, wanted.name, patch)


def recover_vault(wanted: Vault, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Bring a soft-deleted vault back, with all the secrets it had."""
    properties = models.VaultProperties(
        tenant_id=wanted.tenant or "", sku=models.Sku(family="A", name="standard"), create_mode="recover"
    )
    _put(wanted, properties, group, settings, on_progress)


def purge_vault(name: str, settings: Settings, on_progress: OnProgress = ignore) -> bool:
    """Remove a soft-deleted vault for good, so that its name is free again.

    Returns:
        Whether there was one.
    """
    role, scope = "Key Vault Contributor", "the subscription"
    with (
        translated("Cannot purge the vault", name=name, role=role, scope=scope),
        managed(KeyVaultManagementClient, settings) as client,
    ):
        deleted = _get_deleted(client, name)
        if deleted is None or deleted.properties is None:
            return False
        poller = client.vaults.begin_purge_deleted(name, deleted.properties.location or "")
        finish(poller, f"Purging the vault {name}", on_progress)
    return True


def find_deleted_vault(name: str, settings: Settings) -> Found | None:
    """Return a soft-deleted vault, or None."""
    with managed(KeyVaultManagementClient, settings) as client:
        return _find_deleted(client, name)


def _put(
    wanted: Vault, properties: models.VaultProperties, group: str, settings: Settings, on_progress: OnProgress
) -> None:
    parameters = models.VaultCreateOrUpdateParameters(location=wanted.location, properties=properties)
    with (
        translated("Cannot create the vault", name=wanted.name, role="Contributor", scope=f"the group {group}"),
        managed(KeyVaultManagementClient, settings) as client,
    ):
        poller = client.vaults.begin_create_or_update(group, wanted.name, parameters)
        finish(poller, f"Creating the vault {wanted.name}", on_progress)


def _get_deleted(client: KeyVaultManagementClient, name: str) -> models.DeletedVault | None:
    """Look through all of the subscription's: a deleted vault may be in another location than the wanted one."""
    return next((one for one in client.vaults.list_deleted() if (one.name or "").lower() == name.lower()), None)


def _find_deleted(client: KeyVaultManagementClient, name: str) -> Found | None:
    with translated("Cannot list the deleted vaults", name=name, role="Reader", scope="the subscription"):
        found = _get_deleted(client, name)
    if found is None or found.properties is None:
        return None
    place = found.properties
    seen = Vault(
        name=name,
        resource_group=get_group_of(place.vault_id),
        location=get_location(place.location),
        tenant=None,
        rbac=None,
    )
    until = f"{place.scheduled_purge_date:%Y-%m-%d}" if place.scheduled_purge_date else "its retention ends"
    return Found(seen, State.DELETED, f"soft-deleted, kept until {until}; recovering keeps its secrets")


def _find_taken(client: KeyVaultManagementClient, name: str) -> Found | None:
    with translated("Cannot check the vault's name", name=name, role="Reader", scope="the subscription"):
        answer = client.vaults.check_name_availability(models.VaultCheckNameAvailabilityParameters(name=name))
    if answer.name_available:
        return None
    return Found(None, State.TAKEN, answer.message or "", str(getattr(answer.reason, "value", answer.reason) or ""))


def _seen(found: models.Vault, name: str) -> Vault:
    return Vault(
        name=name,
        resource_group=get_group_of(found.id),
        location=get_location(found.location),
        tenant=found.properties.tenant_id,
        rbac=bool(found.properties.enable_rbac_authorization),
    )


def _state(said: str) -> State:
    """A vault says RegisteringDns while its name is made known."""
    return get_state(said.rsplit(".", 1)[-1])
