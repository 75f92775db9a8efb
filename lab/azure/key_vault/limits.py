"""Key Vault's service limits for secrets: transactions of a vault in ten seconds.

https://learn.microsoft.com/azure/key-vault/general/service-limits
"""

import math
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from lab.azure.errors import AzureError

WINDOW = timedelta(seconds=10)
READS = 4_000
WRITES = 300


class Limits:
    """Counts the transactions of each vault.

    Args:
        now: the clock.
        reads: GETs that a vault answers in the window.
        writes: other transactions that it answers in the window.
    """

    def __init__(self, now: Callable[[], datetime], reads: int = READS, writes: int = WRITES) -> None:
        self._now = now
        self._most = {"read": reads, "write": writes}
        self._seen: dict[tuple[str, str], deque[datetime]] = {}

    def count(self, vault: str, method: str) -> None:
        """Count one transaction.

        Raises:
            AzureError: 429 with Retry-After when there were too many; the refused one is not counted.
        """
        kind = "read" if method in ("GET", "HEAD") else "write"
        seen, now = self._seen.setdefault((vault, kind), deque()), self._now()
        while seen and seen[0] <= now - WINDOW:
            seen.popleft()
        if len(seen) >= self._most[kind]:
            wait = max(1, math.ceil((seen[0] + WINDOW - now).total_seconds()))
            raise AzureError(
                429,
                "Throttled",
                "Request was not processed because too many requests were received. "
                "Reason: VaultRequestTypeLimitReached",
                headers={"Retry-After": str(wait)},
            )
        seen.append(now)
