"""Which resource providers the subscription is registered with: in a fresh one, hardly any.

Nothing of a provider can be written before somebody has registered it. Registering takes a while, but what is written
meanwhile is taken already.
https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from lab.azure.arm.api_versions import API_VERSIONS, RESOURCES
from lab.azure.arm.errors import ArmError

ALWAYS = (RESOURCES.lower(), "microsoft.authorization")
REGISTERED, REGISTERING, NOT_REGISTERED = "Registered", "Registering", "NotRegistered"
LEAST = timedelta(seconds=0.2)
"""How long registering takes at least: that is seen by whoever asks at once."""


class Registrations:
    """The state of each provider.

    Args:
        is_fresh: whether nothing is registered yet; else everything is.
        now: the clock.
        takes: how long registering takes.
    """

    def __init__(self, is_fresh: bool, now: Callable[[], datetime], takes: timedelta = LEAST) -> None:
        self._now, self._takes = now, max(takes, LEAST)
        known = [namespace.lower() for namespace in API_VERSIONS]
        self._since = {namespace: now() - self._takes for namespace in known if namespace in ALWAYS or not is_fresh}

    def state(self, namespace: str) -> str:
        """Registered, Registering or NotRegistered."""
        since = self._since.get(namespace.lower())
        if since is None:
            return NOT_REGISTERED
        return REGISTERED if self._now() >= since + self._takes else REGISTERING

    def register(self, namespace: str) -> None:
        """Begin to register a provider; one that is registered stays so."""
        self._since.setdefault(namespace.lower(), self._now())

    def require(self, namespace: str) -> None:
        """Raise unless a provider takes writes.

        Raises:
            ArmError: 409 MissingSubscriptionRegistration.
        """
        if namespace.lower() in self._since:
            return
        known = {name.lower(): name for name in API_VERSIONS}
        shown = known.get(namespace.lower(), namespace)
        raise ArmError(
            409,
            "MissingSubscriptionRegistration",
            f"The subscription is not registered to use namespace '{shown}'. See https://aka.ms/rps-not-found for how "
            "to register subscriptions.",
            shown,
        )
