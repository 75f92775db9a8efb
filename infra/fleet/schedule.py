"""When a credential is due: by its age, its expiry, a request, or because a rotation of it is not finished. Pure.

A fleet that was imported on one day would be due on one day. So a credential rotates at a moment of its own in the last
tenth of its interval, and of each maintenance window: a hash of its name chooses both, and they stay the same as long
as its facts do.

    due = find_due(credential, facts, now)   # -> Due, or None: nothing ever makes it due
    due and due.starts_at <= now             # whether it may start
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum

from infra.credentials import Credential, Strategy
from infra.credentials.schedule import Window
from infra.errors import Code, Refused
from infra.rotation.options import Guards

SPREAD = 10
"""The part of an interval over which credentials spread: the last tenth of it, but at most `LONGEST_SPREAD`."""
LONGEST_SPREAD = timedelta(days=30)
STALE = timedelta(minutes=30)
"""A rotation that wrote nothing for so long has stopped; a running one writes more often."""
FIRST_PAUSE, PAUSE_GROWS, LONGEST_PAUSE = timedelta(minutes=15), 4, timedelta(days=1)
"""The pauses after rotations of one credential that ended badly, one after the other."""
NEAR_EXPIRY = timedelta(days=30)
"""Azure's own SecretNearExpiry comes as early."""


class Why(StrEnum):
    """What makes a credential due."""

    UNFINISHED = "an unfinished rotation"
    GRACE_OVER = "its grace is over"
    REQUESTED = "requested"
    EXPIRY = "its expiry"
    AGE = "its age"


class Urgency(IntEnum):
    """Which due credentials come first."""

    ROUTINE = 0
    URGENT = 1
    FINISHING = 2


@dataclass(frozen=True)
class Attempt:
    """A rotation that the fleet started earlier.

    Args:
        key: what it was started for; the same need has the same key.
        ended_at: when it ended; None while it runs, or waits to.
        verdict: how it ended, in kebab case; empty if it has none: crashed or cancelled.
    """

    key: str
    ended_at: datetime | None
    verdict: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether it ended, and not well."""
        return self.ended_at is not None and self.verdict in ("", *BAD_VERDICTS)


MISSED = "outside-window"
"""The verdict of a rotation whose window had closed when it could begin: it is started again in the next one."""
BAD_VERDICTS = ("refused", "rolled-back", "sync-pending", "needs-operator", "failed")


@dataclass(frozen=True)
class Facts:
    """What is known of a credential without reading any value.

    Args:
        created_at: when its password was first written.
        expires_at: when the newest versions expire.
        unfinished: the rotation that is in the middle of its steps, or in its grace.
        changed_at: when that rotation wrote its candidate last.
        is_grace: whether only the previous login is left to be disabled.
        grace_until: until when it works; None: until the next rotation.
        requested_at: when somebody asked for a rotation.
        attempts: rotations that the fleet started, oldest first.
    """

    created_at: datetime
    expires_at: datetime | None = None
    unfinished: str = ""
    changed_at: datetime | None = None
    is_grace: bool = False
    grace_until: datetime | None = None
    requested_at: datetime | None = None
    attempts: Sequence[Attempt] = field(default=())

    @property
    def failures(self) -> Sequence[Attempt]:
        """The attempts that ended badly since the last one that ended well."""
        ended = tuple(attempt for attempt in self.attempts if attempt.ended_at and attempt.verdict != MISSED)
        good = [number for number, attempt in enumerate(ended, 1) if not attempt.is_bad]
        return ended[good[-1] if good else 0 :]

    @property
    def missed(self) -> int:
        """How many attempts came too late for their window."""
        return sum(attempt.verdict == MISSED for attempt in self.attempts)

    @property
    def is_running(self) -> bool:
        """Whether a rotation that the fleet started has not ended."""
        return any(attempt.ended_at is None for attempt in self.attempts)


@dataclass(frozen=True)
class Due:
    """What a credential is due for.

    Args:
        credential: its name.
        why: what makes it due.
        at: when it is due; it makes the key, so it depends on facts alone and not on the time.
        starts_at: when a rotation may start: in its window, and after the pause of one that ended badly.
        limit: from when on it is overdue; None for what has no limit.
        attempt: how many rotations for it ended badly, or came too late for their window, before.
    """

    credential: str
    why: Why
    at: datetime
    starts_at: datetime
    limit: datetime | None = None
    attempt: int = 0

    @property
    def urgency(self) -> Urgency:
        """What comes first."""
        if self.why in (Why.UNFINISHED, Why.GRACE_OVER):
            return Urgency.FINISHING
        return Urgency.URGENT if self.why is Why.REQUESTED else Urgency.ROUTINE

    @property
    def key(self) -> str:
        """What tells this need from every other: two runs of the fleet start one rotation for it."""
        return f"keyturn:{self.credential}:{self.why.name.lower()}:{self.at:%Y%m%dT%H%M%SZ}:{self.attempt}"

    def is_overdue(self, now: datetime) -> bool:
        """Whether it should have been rotated by now."""
        return self.limit is not None and now > self.limit


def find_due(credential: Credential, facts: Facts, now: datetime) -> Due | None:
    """Return what a credential is due for next, in the past or in the future; None if nothing makes it due.

    Args:
        credential: its schedule.
        facts: what is known of it.
        now: the time.
    """
    due = _find_need(credential, facts)
    if due is None:
        return None
    starts_at = due.at
    if due.urgency is Urgency.ROUTINE and credential.window:
        starts_at = _enter_window(credential, credential.window, due.at, now)
    failures = facts.failures
    if failures and failures[-1].ended_at:
        starts_at = max(starts_at, failures[-1].ended_at + pause_after(len(failures)))
    return replace(due, starts_at=starts_at, attempt=len(failures) + facts.missed)


def find_objection(credential: Credential) -> str:
    """Return why the fleet begins no rotation of a credential, asked for or not; empty if it does."""
    if credential.paused:
        return "it is paused"
    if credential.strategy is Strategy.RECREATE:
        return "the strategy recreate empties the database, so a person must consent"
    return ""


def check_request(credentials: Sequence[Credential]) -> None:
    """Refuse to rotate what the fleet would not begin: whoever asks after a leak must know.

    Raises:
        Refused: it would begin no rotation of one of them.
    """
    told = {credential.name: why for credential in credentials if (why := find_objection(credential))}
    if told:
        seen = "; ".join(f"{name}: {why}" for name, why in told.items())
        raise Refused(Code.FLEET_NEVER_BEGINS, name=", ".join(told), seen=seen)


def guard(due: Due, credential: Credential) -> Guards:
    """Return when the rotation may begin, wherever it waits until then: for a worker, for the slots of its server."""
    if due.urgency is Urgency.ROUTINE and credential.window:
        return Guards.within(credential.window)
    return Guards()


def pause_after(failures: int) -> timedelta:
    """Return how long a credential is left alone after so many rotations in a row that ended badly."""
    growth: int = PAUSE_GROWS ** min(failures - 1, 8)
    return min(FIRST_PAUSE * growth, LONGEST_PAUSE)


def choose_share(name: str, what: str) -> float:
    """Return a number from 0 to 1 that is always the same for a name, and evenly spread over names."""
    return int.from_bytes(hashlib.sha256(f"{what}:{name}".encode()).digest()[:6]) / 2**48


def _find_need(credential: Credential, facts: Facts) -> Due | None:
    name = credential.name
    if facts.unfinished and not facts.is_grace and facts.changed_at:
        at = facts.changed_at + STALE
        return Due(name, Why.UNFINISHED, at, at)
    if facts.is_grace and facts.grace_until:
        return Due(name, Why.GRACE_OVER, facts.grace_until, facts.grace_until)
    if find_objection(credential):
        return None
    if facts.requested_at and facts.requested_at > facts.created_at:
        return Due(name, Why.REQUESTED, facts.requested_at, facts.requested_at)
    found = _find_limit(credential, facts)
    if found is None:
        return None
    limit, why, interval = found
    at = max(_choose_moment(credential, limit, min(interval / SPREAD, LONGEST_SPREAD)), facts.created_at)
    return Due(name, why, at, at, limit)


def _find_limit(credential: Credential, facts: Facts) -> tuple[datetime, Why, timedelta] | None:
    """Return until when a credential must be rotated, and the interval that it spreads over."""
    if credential.interval:
        return facts.created_at + credential.interval, Why.AGE, credential.interval
    if credential.lead_time and facts.expires_at:
        return facts.expires_at - credential.lead_time, Why.EXPIRY, credential.lead_time
    return None


def _choose_moment(credential: Credential, limit: datetime, spread: timedelta) -> datetime:
    """Choose a moment in the time before the limit: in one of the windows that open in it, if there are any.

    If none does, the last one before that time is taken, rather than one after the limit.
    """
    share = choose_share(credential.name, "day")
    if credential.window is None:
        return limit - spread * (1 - share)
    starts = [_slot(credential, opening) for opening in _list_openings(credential.window, limit - spread, limit)]
    fitting = [start for start in starts if limit - spread <= start <= limit]
    if fitting:
        return fitting[int(share * len(fitting))]
    return next((start for start in reversed(starts) if start <= limit), limit)


def _list_openings(window: Window, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """List the openings from a week before `start` until `end`."""
    found: dict[datetime, tuple[datetime, datetime]] = {}
    look = start - timedelta(days=7)
    while look <= end + timedelta(days=7):
        found |= {opening[0]: opening for opening in window.list_openings(look)}
        look += timedelta(days=7)
    return [found[opens] for opens in sorted(found)]


def _enter_window(credential: Credential, window: Window, at: datetime, now: datetime) -> datetime:
    """Return when a rotation that is due may start: at its moment in the open window, or in the next one."""
    moment = max(at, now)
    for opens, closes in window.list_openings(moment):
        slot = _slot(credential, (opens, closes))
        if moment < closes:
            return max(slot, at) if slot < closes and at < closes else slot
    return moment


def _slot(credential: Credential, opening: tuple[datetime, datetime]) -> datetime:
    """Choose a moment in the first half of an opening: the rotation should end within it, too."""
    opens, closes = opening
    return (opens + (closes - opens) / 2 * choose_share(credential.name, "minute")).astimezone(UTC)
