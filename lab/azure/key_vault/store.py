"""All vaults of the lab by name, live and in soft delete."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from lab.azure.errors import AzureError
from lab.azure.key_vault.vault import Vault

SLOW = timedelta(seconds=2)
"""How long deleting or purging a secret takes while the switch for it is on."""


class VaultStore:
    """All vaults of the lab, live and in soft delete. Names are unique among both, as they are in Azure.

    Args:
        now: the clock that they show, which may be set.
        settle: how long deleting or purging a secret takes.
        steady: the clock by which it takes that; `now` by default.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        settle: timedelta = timedelta(0),
        steady: Callable[[], datetime] | None = None,
    ) -> None:
        self._now, self._settle, self._steady = now, settle, steady or now
        self._quick = settle
        self._live: dict[str, Vault] = {}
        self._deleted: dict[str, Vault] = {}

    def create(
        self,
        resource_id: str,
        name: str,
        location: str,
        *,
        retention_days: int = 90,
        purge_protection: bool = False,
        rbac: bool = True,
        policies: Mapping[str, frozenset[str]] | None = None,
    ) -> Vault:
        """Create an empty vault.

        Raises:
            AzureError: 409 VaultAlreadyExists when the name is in use; 409 ConflictError when it is in soft delete.
        """
        key = name.lower()
        if key in self._live:
            raise AzureError(
                409,
                "VaultAlreadyExists",
                f"The vault name '{name}' is already in use. Vault names are globally unique so it is possible that "
                "the name is already taken. If you are sure that the vault name was not taken then it is possible "
                "that a vault with the same name was recently deleted but not purged after being placed in a "
                "recoverable state. If the vault is in a recoverable state then the vault will need to be purged "
                "before reusing the name.",
            )
        if key in self._deleted:
            raise AzureError(
                409,
                "ConflictError",
                "A vault with the same name already exists in deleted state. You need to either recover or purge "
                "existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more "
                "information on soft delete.",
            )
        clocks = self._now, self._steady
        vault = Vault(name.lower(), resource_id, location, *clocks, retention_days, purge_protection, rbac)
        vault.policies, vault.settle = dict(policies or {}), self._settle
        self._live[key] = vault
        return vault

    def slow_down(self, on: bool) -> None:
        """Let deleting and purging a secret take some seconds from now on, or as long as usual again."""
        self._settle = SLOW if on else self._quick
        for vault in self._live.values():
            vault.settle = self._settle

    def find(self, name: str) -> Vault | None:
        """The live vault of this name."""
        return self._live.get(name.lower())

    def find_deleted(self, name: str) -> Vault | None:
        """The vault of this name in soft delete."""
        return self._deleted.get(name.lower())

    def live(self) -> list[Vault]:
        """All live vaults."""
        return list(self._live.values())

    def deleted(self) -> list[Vault]:
        """All vaults in soft delete."""
        return list(self._deleted.values())

    def delete(self, name: str) -> Vault:
        """Move a vault with all that it holds into soft delete; its host answers no more."""
        vault = self._take(self._live, name)
        self._deleted[name.lower()] = vault
        return vault

    def recover(self, name: str) -> Vault:
        """Bring a vault back from soft delete, secrets included."""
        vault = self._take(self._deleted, name)
        self._live[name.lower()] = vault
        return vault

    def purge(self, name: str) -> None:
        """Remove a vault in soft delete for good.

        Raises:
            AzureError: 404 when there is none; 400 under purge protection.
        """
        vault = self._take(self._deleted, name)
        if vault.purge_protection:
            self._deleted[name.lower()] = vault
            raise AzureError(
                400,
                "MethodNotAllowed",
                f'Operation "DeletedVaultPurge" is not allowed because purge protection is enabled for '
                f"vault '{vault.name}'.",
            )

    def _take(self, vaults: dict[str, Vault], name: str) -> Vault:
        if name.lower() not in vaults:
            raise AzureError(404, "VaultNotFound", f"The vault '{name}' was not found.")
        return vaults.pop(name.lower())
