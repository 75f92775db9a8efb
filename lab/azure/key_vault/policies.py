"""Azure Policy for secrets: what the built-in definitions of Key Vault deny when somebody writes a version.

https://learn.microsoft.com/azure/key-vault/general/azure-policy
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

from lab.azure.errors import AzureError
from lab.azure.key_vault.vault import SecretAttributes

LONGEST = timedelta(days=90)
NAMES = {
    "secrets-need-content-type": "Secrets should have content type set",
    "secrets-need-expiry": "Key Vault secrets should have an expiration date",
    "secrets-valid-90-days": "Secrets should have the specified maximum validity period",
}
"""Switch of the lab -> the definition that it assigns with the effect Deny."""


class Policies:
    """The policies that are assigned.

    Args:
        is_on: whether a switch of the lab is on.
        now: the clock.
    """

    def __init__(self, is_on: Callable[[str], bool], now: Callable[[], datetime]) -> None:
        self._is_on, self._now = is_on, now

    def verify(self, name: str, attributes: SecretAttributes, content_type: str | None) -> None:
        """Let a new version pass.

        Raises:
            AzureError: 403, with every policy that denies it.
        """
        valid = None if attributes.expires is None else attributes.expires - int(self._now().timestamp())
        breaks = {
            "secrets-need-content-type": not content_type,
            "secrets-need-expiry": valid is None,
            "secrets-valid-90-days": valid is None or valid > LONGEST.total_seconds(),
        }
        denying = [NAMES[switch] for switch, is_broken in breaks.items() if is_broken and self._is_on(switch)]
        if denying:
            policies = json.dumps([{"policyDefinition": {"name": definition}} for definition in denying])
            message = f"Secret '{name}' was disallowed by policy. Policies: '{policies}'."
            raise AzureError(403, "Forbidden", message, inner="ForbiddenByPolicy")
