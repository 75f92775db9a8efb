"""How long what was granted a moment ago has no effect yet."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Propagation:
    """The delay of new role assignments and federated credentials.

    Args:
        now: the clock.
        delay: how long they have no effect.
    """

    now: Callable[[], datetime]
    delay: timedelta

    def is_over(self, created_at: datetime) -> bool:
        """Whether it has reached everybody; without a delay it has, though the clock may be set back since."""
        return not self.delay or created_at + self.delay <= self.now()
