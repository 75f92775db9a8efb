"""How the vault's value of a secret is encoded, where it is not the text itself: for values that a shell would spoil.

https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/getting-started/usage/ (objectEncoding)
"""

import base64
from enum import StrEnum


class Encoding(StrEnum):
    """What stands in the vault in place of the text."""

    BASE64 = "base64"
    HEX = "hex"

    def write(self, text: str) -> str:
        """Return what the vault has for a text."""
        raw = text.encode()
        return raw.hex() if self is Encoding.HEX else base64.b64encode(raw).decode()

    def read(self, value: str) -> str:
        """Return the text of a value of the vault.

        Raises:
            ValueError: it is not encoded so, or no text.
        """
        try:
            if self is Encoding.HEX:
                return bytes.fromhex(value).decode()
            return base64.b64decode(value.replace("\r", "").replace("\n", ""), validate=True).decode()
        except ValueError:
            raise ValueError(f"it is not the {self} of a text") from None
