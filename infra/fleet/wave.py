"""What starts now of all that is due: urgent before routine, ring by ring, within limits, unless verdicts go bad. Pure.

wave = plan_wave(due, running, bad, places, limits)
wave.starts     # what to start now, in order
wave.waiting    # credential -> why it is not started now
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from infra.credentials import ClusterIpEndpoint, Credential, LoadBalancerEndpoint
from infra.credentials.fields import Model
from infra.fleet.schedule import Due, Urgency


class Limits(Model):
    """How many rotations run at once."""

    in_flight: int = Field(20, ge=1, le=200, title="In flight", description="Rotations at once, in all.")
    per_vault: int = Field(5, ge=1, le=200, title="Per vault", description="Rotations at once in one vault.")
    per_server: int = Field(2, ge=1, le=200, title="Per server", description="Rotations at once on one server.")
    stop_after: int = Field(
        3,
        ge=1,
        le=1000,
        title="Stop after",
        description="How many credentials may have ended badly in a day before no other one starts.",
    )


@dataclass(frozen=True)
class Place:
    """Where a credential's rotation makes load, and in which ring it is.

    Args:
        vault: the vault's name.
        server: the database server.
        ring: 0 rotates first.
    """

    vault: str
    server: str
    ring: int = 0

    @classmethod
    def of(cls, credential: Credential) -> "Place":
        """Return where a credential is."""
        endpoint = credential.endpoint
        is_service = isinstance(endpoint, LoadBalancerEndpoint | ClusterIpEndpoint)
        server = f"{endpoint} of {credential.cluster}" if is_service else str(endpoint)
        return cls(credential.vault.lower(), server, credential.ring)


@dataclass(frozen=True)
class Wave:
    """What starts now.

    Args:
        starts: what to start, in order.
        waiting: credential -> why it does not start now.
        stopped: why nothing new starts; empty if it does.
    """

    starts: tuple[Due, ...]
    waiting: Mapping[str, str]
    stopped: str = ""


@dataclass
class _Room:
    """How much room the limits leave."""

    limits: Limits
    total: int = 0
    vaults: Counter[str] = field(default_factory=Counter)
    servers: Counter[str] = field(default_factory=Counter)

    def take(self, place: Place) -> None:
        self.total += 1
        self.vaults[place.vault] += 1
        self.servers[place.server] += 1

    def find_lack(self, place: Place) -> str:
        """Say which limit leaves no room; empty if all do."""
        if self.total >= self.limits.in_flight:
            return f"{self.total} rotations are in flight"
        if self.vaults[place.vault] >= self.limits.per_vault:
            return f"{self.vaults[place.vault]} rotations use the vault {place.vault}"
        if self.servers[place.server] >= self.limits.per_server:
            return f"{self.servers[place.server]} rotations use the server {place.server}"
        return ""


def plan_wave(
    due: Sequence[Due], running: Sequence[str], bad: Sequence[str], places: Mapping[str, Place], limits: Limits
) -> Wave:
    """Choose what starts now.

    What finishes a rotation waits for room alone: neither a ring nor a bad verdict holds it up. A ring waits until
    nothing as urgent is due or running in the rings before it.

    Args:
        due: what may start now, of credentials that do not run.
        running: the credentials whose rotations run.
        bad: the credentials whose last rotation ended badly.
        places: where each credential is.
        limits: how many run at once.
    """
    room, starts, waiting = _Room(limits), list[Due](), dict[str, str]()
    for name in running:
        room.take(places[name])
    stopped, rings = _find_stop(bad, limits), _find_first_rings(due, running, places)
    for item in sorted(due, key=lambda each: (-each.urgency, places[each.credential].ring, each.at, each.credential)):
        place, reason = places[item.credential], ""
        if item.urgency is not Urgency.FINISHING and item.credential not in bad:
            reason = stopped or _find_ring(item, rings, bad, places)
        if reason := reason or room.find_lack(place):
            waiting[item.credential] = reason
        else:
            room.take(place)
            starts.append(item)
    return Wave(tuple(starts), waiting, stopped)


def _find_stop(bad: Sequence[str], limits: Limits) -> str:
    if len(bad) < limits.stop_after:
        return ""
    return f"the wave has stopped: {len(bad)} credentials ended badly ({', '.join(sorted(bad)[:5])})"


def _find_first_rings(due: Sequence[Due], running: Sequence[str], places: Mapping[str, Place]) -> Mapping[Urgency, int]:
    """Return, for each urgency, the first ring in which something as urgent is due, or anything runs."""
    found = dict[Urgency, int]()
    for urgency in Urgency:
        ahead = [item.credential for item in due if item.urgency >= urgency]
        found[urgency] = min((places[name].ring for name in (*ahead, *running)), default=0)
    return found


def _find_ring(item: Due, first: Mapping[Urgency, int], bad: Sequence[str], places: Mapping[str, Place]) -> str:
    """Say which ring before its own holds a credential up; empty if none does."""
    ring = places[item.credential].ring
    before = [name for name in bad if places[name].ring < ring]
    if before:
        return f"ring {places[before[0]].ring} failed: {', '.join(sorted(before)[:5])}"
    return f"ring {first[item.urgency]} is not finished" if first[item.urgency] < ring else ""
