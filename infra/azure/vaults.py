"""Key vaults: made in RBAC mode, recovered, purged. Their secrets are the subject of infra.azure.secrets.

A deleted vault keeps its name and its secrets for some days. Provisioning recovers it: that loses nothing and ends
where it should. Only `tear_down` purges.
https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview
"""

from azure.mgmt.keyvault import KeyVaultManagementClient, models

from infra.azure.arm import ArmKind, as_taken, get_group_of, get_location, get_state, unless_hidden, word
from infra.azure.errors import translated
from infra.provisioning.kinds import Found, OnProgress, State, ignore
from infra.provisioning.resources import Vault

PURGER = "Key Vault Purge Operator"
PURGE = "Microsoft.KeyVault/locations/deletedVaults/purge/action"
"""The role, Key Vault Contributor lacks it, and what it allows."""


class Vaults(ArmKind[Vault, KeyVaultManagementClient]):
    """Key vaults. A name that is taken elsewhere in Azure is found as well: it cannot be had."""

    resource = Vault
    action = "Microsoft.KeyVault/vaults/write"
    unique_in_azure = True
    open_client = KeyVaultManagementClient

    def find(self, wanted: Vault) -> Found | None:
        """Return the vault, or a softly deleted one that holds its name, or the objection to the name, or None."""
        found = self.look(wanted.name, lambda client: client.vaults.get(self.group, wanted.name))
        if found is None:
            return unless_hidden(lambda: self.find_deleted(wanted.name) or self._find_taken(wanted.name))
        said = word(found.properties.provisioning_state)
        # A vault says RegisteringDns while its name is made known.
        return Found(_seen(found, wanted.name), get_state(said.rsplit(".", 1)[-1]), said)

    def put(self, wanted: Vault, on_progress: OnProgress = ignore) -> None:
        """Make a vault, or put the existing one into RBAC mode; whatever else it has is kept."""
        found = self.find(wanted)
        if found is None or found.resource is None:
            properties = models.VaultProperties(
                tenant_id=wanted.tenant or "",
                sku=models.Sku(family="A", name="standard"),
                enable_rbac_authorization=wanted.rbac,
                soft_delete_retention_in_days=wanted.soft_delete_days,
            )
            self._create(wanted, properties, on_progress)
            return
        changes = models.VaultPatchProperties(enable_rbac_authorization=wanted.rbac)
        with self.changing(wanted.name, "change") as client:
            client.vaults.update(self.group, wanted.name, models.VaultPatchParameters(properties=changes))

    def recover(self, wanted: Vault, on_progress: OnProgress = ignore) -> None:
        """Recover a softly deleted vault, with all the secrets that it had."""
        properties = models.VaultProperties(
            tenant_id=wanted.tenant or "", sku=models.Sku(family="A", name="standard"), create_mode="recover"
        )
        self._create(wanted, properties, on_progress)

    def find_deleted(self, name: str) -> Found | None:
        """Return a softly deleted vault, or None."""
        found = self._get_deleted(name)
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

    def purge(self, name: str, on_progress: OnProgress = ignore) -> bool:
        """Remove a softly deleted vault for good, so that its name is free again.

        Returns:
            Whether there was one.
        """
        deleted = self._get_deleted(name)
        if deleted is None or deleted.properties is None:
            return False
        with (
            translated("Cannot purge the vault", name=name, role=PURGER, scope="the subscription"),
            self.azure.management(KeyVaultManagementClient) as client,
        ):
            poller = client.vaults.begin_purge_deleted(name, deleted.properties.location or "")
            self.follow(poller, "Purging", name, on_progress)
        return True

    def _create(self, wanted: Vault, properties: models.VaultProperties, on_progress: OnProgress) -> None:
        parameters = models.VaultCreateOrUpdateParameters(location=wanted.location, properties=properties)
        with self.changing(wanted.name) as client:
            poller = client.vaults.begin_create_or_update(self.group, wanted.name, parameters)
            self.follow(poller, "Creating", wanted.name, on_progress)

    def _get_deleted(self, name: str) -> models.DeletedVault | None:
        """Look through all of the subscription's: a deleted vault may be in another location than the wanted one."""
        with (
            translated("Cannot list the deleted vaults", name=name, role="Reader", scope="the subscription"),
            self.azure.management(KeyVaultManagementClient) as client,
        ):
            vaults = client.vaults.list_deleted()
            return next((vault for vault in vaults if (vault.name or "").lower() == name.lower()), None)

    def _find_taken(self, name: str) -> Found | None:
        with (
            translated("Cannot check the vault's name", name=name, role="Reader", scope="the subscription"),
            self.azure.management(KeyVaultManagementClient) as client,
        ):
            answer = client.vaults.check_name_availability(models.VaultCheckNameAvailabilityParameters(name=name))
        return as_taken(answer.name_available, answer.message, answer.reason)


def _seen(found: models.Vault, name: str) -> Vault:
    return Vault(
        name=name,
        resource_group=get_group_of(found.id),
        location=get_location(found.location),
        tenant=found.properties.tenant_id,
        rbac=bool(found.properties.enable_rbac_authorization),
        policies=tuple(_describe(policy) for policy in found.properties.access_policies or ()),
    )


def _describe(policy: models.AccessPolicyEntry) -> str:
    """Return who may do what: "OBJECT_ID (secrets get, list)"."""
    rights = "; ".join(f"{kind} {', '.join(verbs)}" for kind, verbs in policy.permissions.as_dict().items() if verbs)
    who = f"{policy.object_id} by application {policy.application_id}" if policy.application_id else policy.object_id
    return f"{who} ({rights or 'no rights'})"
