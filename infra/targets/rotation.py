"""How one rotation goes, and what guards it."""

from datetime import time
from enum import StrEnum
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from infra.targets.fields import DryRun, Model, ReadyTimeout


class Sync(StrEnum):
    """How the consumers get the new versions: the driver's poll is waited for, or a fresh mount fetches them."""

    WAIT = "wait"
    EXPRESS = "express"


class RotationOptions(Model):
    """How this one rotation goes. As they stand, nothing is changed: the plan is shown alone."""

    dry_run: DryRun = True
    sync: Sync = Field(
        Sync.WAIT,
        title="Sync",
        description="wait: for the driver's poll, at most the timeout below. express: the stale Secret is brought "
        "up to date and what needs it is restarted; the new mount itself fetches the newest versions.",
    )
    data_loss: Literal["no", "I accept data loss"] = Field(
        "no",
        title="Data loss",
        description="The strategy recreate begins with an empty database: it runs only with this consent.",
    )
    new_username: str = Field(
        "",
        title="New username",
        pattern=r"^([a-z_][a-z0-9_]{0,62})?$",
        description="Lower case, digits, underscores. Empty: derived from the present one. in-place and managed keep "
        "the name; alternating takes it for its second login.",
    )
    rotation_id: str = Field(
        "",
        title="Rotation id",
        pattern=r"^([0-9a-z][-0-9a-z]{0,62})?$",
        description="Give the id of an earlier run to resume it. Empty: an unfinished one is found, "
        "or a new one begun.",
    )
    keep_versions: int = Field(
        0,
        ge=0,
        le=100,
        title="Older versions that stay enabled",
        description="How many older versions of each secret stay readable after the proof. Their login is refused all "
        "the same.",
    )
    sync_timeout_seconds: int = Field(
        360,
        ge=1,
        le=7200,
        title="Sync timeout (seconds)",
        description="Bound on the wait for the sync: poll interval + 90 s + slack.",
    )
    ready_timeout_seconds: ReadyTimeout = Field(300, description="Bound on the wait for the new pods.")


class Day(StrEnum):
    """A day of the week."""

    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"


class Guards(Model):
    """When a rotation may begin. As they stand, at any time. An unfinished rotation is always gone on with."""

    window_begin: str = Field(
        "",
        title="Maintenance window from",
        pattern=rf"({CLOCK})|(^$)",
        description="Hours and minutes, as 02:00. Empty: no window.",
        examples=["02:00"],
    )
    window_end: str = Field(
        "",
        title="Maintenance window until",
        pattern=rf"({CLOCK})|(^$)",
        description="Hours and minutes, as 05:00; earlier than the begin: of the next day.",
        examples=["05:00"],
    )
    window_days: tuple[Day, ...] = Field(
        (), title="Days of the window", description="The days that it begins on. None: each day."
    )
    time_zone: str = Field("Etc/UTC", title="Time zone", description="Of the window, as Europe/Berlin.")
    jitter_seconds: int = Field(
        0,
        ge=0,
        le=86400,
        title="Jitter (seconds)",
        description="Begin by chance up to so much later, so that many schedules do not begin at once.",
    )
    minimum_age_hours: int = Field(
        0,
        ge=0,
        le=87600,
        title="Minimum age (hours)",
        description="Do not rotate a password that is younger.",
    )
    approval: bool = Field(
        False,
        title="Ask for approval",
        description="Show the plan, then suspend until a person approves it in the UI.",
    )
    approval_timeout_hours: int = Field(
        24, ge=1, le=720, title="Approval timeout (hours)", description="Without an answer until then the run fails."
    )
    force: bool = Field(
        False,
        title="Now, whatever window and age",
        description="Rotate without looking at window, jitter and minimum age. Approval is asked for all the same.",
    )

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone is called '{name}'; give one as Europe/Berlin") from None
        return name

    @model_validator(mode="after")
    def _begins_and_ends(self) -> Self:
        if bool(self.window_begin) != bool(self.window_end):
            raise ValueError("window_begin and window_end are given together, or neither")
        if self.window_begin and self.window_begin == self.window_end:
            raise ValueError("window_begin and window_end are equal; give neither for no window")
        if self.window_days and not self.window_begin:
            raise ValueError("window_days needs window_begin and window_end")
        return self

    @property
    def window(self) -> tuple[time, time] | None:
        """Begin and end of the window, if there is one."""
        if not self.window_begin:
            return None
        return time.fromisoformat(self.window_begin), time.fromisoformat(self.window_end)
