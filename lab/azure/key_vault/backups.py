"""Backups of secrets: all versions of one, sealed so that only this lab's vaults can read them.

https://learn.microsoft.com/azure/key-vault/general/backup
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import asdict

from cryptography.fernet import Fernet, InvalidToken

from lab.azure.errors import AzureError
from lab.azure.key_vault.vault import SecretAttributes, SecretVersion

MOST_VERSIONS = 500


class Backups:
    """Seals and opens backups; the key is as old as the lab."""

    def __init__(self) -> None:
        self._box = Fernet(Fernet.generate_key())

    def seal(self, versions: Sequence[SecretVersion]) -> str:
        """The backup of a secret's versions, the newest last, as the base64url that travels.

        Raises:
            AzureError: 400 when there are too many.
        """
        if len(versions) > MOST_VERSIONS:
            text = f"A secret with more than {MOST_VERSIONS} versions cannot be backed up."
            raise AzureError(400, "BadParameter", text)
        plain = json.dumps([asdict(version) for version in versions]).encode()
        return base64.urlsafe_b64encode(self._box.encrypt(plain)).decode().rstrip("=")

    def open(self, sealed: object) -> list[SecretVersion]:
        """The versions in a backup.

        Raises:
            AzureError: 400 for what is no backup of this lab.
        """
        try:
            text = str(sealed)
            plain = self._box.decrypt(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (InvalidToken, binascii.Error, ValueError):
            raise AzureError(400, "BadParameter", "The backup blob is invalid or corrupted.") from None
        return [
            SecretVersion(**{**version, "attributes": SecretAttributes(**version["attributes"])})
            for version in json.loads(plain)
        ]
