"""The fleet as one run of it sees it: what is due, running, bad, and what became of what it started. Pure.

roster = Roster(credentials, facts, limits)
wave = roster.plan(now)
roster.begin(due, now)
roster.end("orders-db", Attempt(due.key, now, "rotated"))
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from infra.credentials import Credential
from infra.fleet.schedule import Attempt, Due, Facts, find_due
from infra.fleet.wave import Limits, Place, Wave, plan_wave

REMEMBERED_BAD = timedelta(days=1)
"""How long a rotation that ended badly counts against the wave."""


@dataclass
class Roster:
    """What one run of the fleet knows.

    Args:
        credentials: by name; one without facts could not be looked at, and is left alone.
        facts: by name.
        limits: how many rotations run at once.
        started: what this run started, by name.
        began: when, by name.
    """

    credentials: Mapping[str, Credential]
    facts: dict[str, Facts]
    limits: Limits = field(default_factory=lambda: Limits())
    started: dict[str, Due] = field(default_factory=dict)
    began: dict[str, datetime] = field(default_factory=dict)

    def find_due(self, name: str, now: datetime) -> Due | None:
        """Return what a credential is due for next."""
        facts = self.facts.get(name)
        return find_due(self.credentials[name], facts, now) if facts else None

    def list_due(self, now: datetime) -> list[Due]:
        """Return what may start now: nothing that runs, and nothing that this run started before."""
        found = [
            self.find_due(name, now)
            for name, facts in self.facts.items()
            if name not in self.started and not facts.is_running
        ]
        return [due for due in found if due and due.starts_at <= now and not self._was_started(due)]

    def plan(self, now: datetime) -> Wave:
        """Choose what starts now."""
        places = {name: Place.of(credential) for name, credential in self.credentials.items()}
        return plan_wave(self.list_due(now), self.running, self.list_bad(now), places, self.limits)

    def begin(self, due: Due, now: datetime) -> None:
        """Note that a rotation was started."""
        self.started[due.credential], self.began[due.credential] = due, now
        self._note(due.credential, Attempt(due.key, None))

    def end(self, name: str, attempt: Attempt) -> None:
        """Note how a rotation ended that this run started."""
        self._note(name, replace(attempt, key=self.started[name].key))

    @property
    def running(self) -> list[str]:
        """The credentials whose rotations run, whichever run of the fleet started them."""
        return [name for name, facts in self.facts.items() if facts.is_running]

    @property
    def under_way(self) -> list[str]:
        """Those of them that this run started."""
        return [name for name in self.started if self.facts[name].is_running]

    @property
    def failed(self) -> list[str]:
        """The credentials that this run started and that ended badly."""
        return [name for name in self.started if self.facts[name].attempts[-1].is_bad]

    def list_bad(self, now: datetime) -> list[str]:
        """Return the credentials whose last rotation ended badly not long ago; nobody waits for one that is paused."""
        return [
            name
            for name, facts in self.facts.items()
            if not self.credentials[name].paused
            and (failures := facts.failures)
            and failures[-1].ended_at
            and failures[-1].ended_at > now - REMEMBERED_BAD
        ]

    def _was_started(self, due: Due) -> bool:
        """Whether a rotation was started for the same need, and ended without making a new password."""
        return any(attempt.key == due.key for attempt in self.facts[due.credential].attempts)

    def _note(self, name: str, attempt: Attempt) -> None:
        facts = self.facts[name]
        others = [known for known in facts.attempts if known.key != attempt.key]
        self.facts[name] = replace(facts, attempts=(*others, attempt))
