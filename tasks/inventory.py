"""The credentials of the inventory, by name. Who only asks for these needs no connection to anything."""

from infra.credentials import Credential, Inventory, Problem, load_inventory
from infra.errors import KeyturnError
from infra.settings import Settings


def get_inventory() -> Inventory:
    """Return all credentials.

    Raises:
        NotFound: there is no inventory.
        InvalidInput: it cannot be used.
    """
    return load_inventory(Settings().credentials)


def get_credential(name: str) -> Credential:
    """Return a credential of the inventory.

    Raises:
        NotFound: there is no such credential, or no inventory.
        InvalidInput: the inventory cannot be used.
    """
    return get_inventory().get(name)


def list_problems(inventory: Inventory, credential: str) -> list[Problem | KeyturnError]:
    """Return what cannot be used: of one credential, or of all files.

    Raises:
        NotFound: there is no such credential.
    """
    if not credential:
        return [*inventory.unusable, *inventory.list_problems()]
    return list(inventory.list_problems(credential))
