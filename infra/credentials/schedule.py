"""When something may begin, and how lengths of time are written: `60d`, `24h`, `90m`."""

from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from infra.credentials.fields import Model

CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"
LENGTH = r"[1-9]\d{0,3}[mhd]"
WORDS = {CLOCK: "a time of day such as 22:00", rf"^{LENGTH}$": "a duration such as 60d, 24h or 90m"}
"""Pattern -> what it lets through, in words."""
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
DAYS_AHEAD = 8


class Day(StrEnum):
    """A day of the week."""

    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


DAYS = tuple(Day)


def parse_length(written: str) -> timedelta:
    """Return how long `60d`, `24h` or `90m` is."""
    return timedelta(**{UNITS[written[-1]]: int(written[:-1])})


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone '{name}': give one such as Europe/Berlin") from None
    return name


Length = Annotated[str, Field(pattern=rf"^{LENGTH}$", examples=["60d"])]
"""A length of time, in minutes, hours or days."""
TimeZone = Annotated[str, AfterValidator(_check_zone)]


class Window(Model):
    """A maintenance window: the times at which a rotation may begin."""

    start: str = Field(title="From", pattern=CLOCK, description="HH:MM.", examples=["02:00"])
    end: str = Field(
        title="Until",
        pattern=CLOCK,
        description="HH:MM. A time before the start is on the next day.",
        examples=["05:00"],
    )
    days: tuple[Day, ...] = Field((), title="Days", description="The days on which it opens. None: every day.")
    time_zone: TimeZone = Field("Etc/UTC", title="Time zone", description="For example Europe/Berlin.")

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.start == self.end:
            raise ValueError("start and end are equal: leave the window out if a rotation may begin at any time")
        return self

    def is_open(self, now: datetime) -> bool:
        """Whether a rotation may begin now."""
        return any(start <= now < end for start, end in self.list_openings(now))

    def find_opening(self, now: datetime) -> datetime:
        """Return when it opens next; now if it is open."""
        if self.is_open(now):
            return now
        return next(start for start, _ in self.list_openings(now) if start > now)

    def list_openings(self, now: datetime) -> list[tuple[datetime, datetime]]:
        """Return start and end of yesterday's opening and of the days after, in the clocks of its time zone."""
        start, end, zone = time.fromisoformat(self.start), time.fromisoformat(self.end), ZoneInfo(self.time_zone)
        today = now.astimezone(zone).date()
        openings = []
        for offset in range(-1, DAYS_AHEAD):
            day = today + timedelta(days=offset)
            if self.days and DAYS[day.weekday()] not in self.days:
                continue
            last = day if start < end else day + timedelta(days=1)
            openings.append((datetime.combine(day, start, zone), datetime.combine(last, end, zone)))
        return openings
