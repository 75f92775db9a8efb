"""How one rotation goes, and what guards it. Parts of the flows' forms: titles and help are read by people."""

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from infra.credentials.fields import Model, ReadyTimeout
from infra.credentials.schedule import CLOCK, Day, TimeZone, Window


class Sync(StrEnum):
    """How the consumers get the new versions: the driver's poll is waited for, or a fresh mount fetches them."""

    WAIT = "wait"
    EXPRESS = "express"


DataLoss = Literal["no", "I accept data loss"]
"""Consent to lose the database's data, as a sentence that nobody types by mistake."""


class AdvancedOptions(Model):
    """Rarely needed."""

    new_username: str = Field(
        "",
        title="New username",
        pattern=r"^([a-z_][a-z0-9_]{0,62})?$",
        description="Lower-case letters, digits and underscores. Empty: derived from the current one. in-place and "
        "managed keep the username; alternating takes this one for its second login.",
    )
    rotation_id: str = Field(
        "",
        title="Rotation id",
        pattern=r"^([0-9a-z][-0-9a-z]{0,62})?$",
        description="An earlier rotation to resume; no new one begins. Empty: an unfinished one is resumed, or a new "
        "one begins.",
    )
    keep_versions: int = Field(
        0,
        ge=0,
        le=100,
        title="Older versions to keep enabled",
        description="How many older versions of each secret stay readable after the rotation. The database refuses "
        "their logins all the same.",
    )
    no_grace: bool = Field(
        False,
        title="No grace",
        description="After a leak: disable the previous login even in its grace.",
    )
    sync_timeout_seconds: int = Field(
        360,
        ge=1,
        le=7200,
        title="Sync timeout (seconds)",
        description="Bound on the wait for the sync: poll interval + 90 s + slack.",
    )
    ready_timeout_seconds: ReadyTimeout = Field(300, description="Bound on the wait for the new pods.")


class RotationOptions(AdvancedOptions):
    """How one rotation goes.

    Args:
        sync: how the consumers get the new versions.
        data_loss: consent, which the strategy recreate needs.
    """

    sync: Sync = Sync.WAIT
    data_loss: DataLoss = "no"


class Guards(Model):
    """When a rotation may begin: at any time by default. An unfinished rotation is always resumed."""

    window_start: str = Field(
        "",
        title="Maintenance window from",
        pattern=rf"({CLOCK})|(^$)",
        description="HH:MM. Empty: no window.",
        examples=["02:00"],
    )
    window_end: str = Field(
        "",
        title="Maintenance window until",
        pattern=rf"({CLOCK})|(^$)",
        description="HH:MM. A time before the start is on the next day.",
        examples=["05:00"],
    )
    window_days: tuple[Day, ...] = Field(
        (), title="Days of the window", description="The days on which the window opens. None: every day."
    )
    time_zone: TimeZone = Field(
        "Etc/UTC", title="Time zone", description="The window's time zone, for example Europe/Berlin."
    )
    random_delay_seconds: int = Field(
        0,
        ge=0,
        le=86400,
        title="Random delay (seconds)",
        description="Start after a random delay of up to this many seconds. It makes schedules spread out.",
    )
    minimum_age_hours: int = Field(
        0,
        ge=0,
        le=87600,
        title="Minimum age (hours)",
        description="Leave a password alone that is younger than this.",
    )
    approval: bool = Field(
        False,
        title="Ask for approval",
        description="Suspend the run until somebody approves its plan in the UI.",
    )
    approval_timeout_hours: int = Field(
        24, ge=1, le=720, title="Approval timeout (hours)", description="The run fails if nobody answers in this time."
    )
    force: bool = Field(
        False,
        title="Force",
        description="Ignore the window, the random delay and the minimum age. Approval is still asked for.",
    )

    @model_validator(mode="after")
    def _starts_and_ends(self) -> Self:
        if bool(self.window_start) != bool(self.window_end):
            raise ValueError("window_start and window_end belong together; give both, or neither")
        if self.window_start and self.window_start == self.window_end:
            raise ValueError("window_start and window_end are equal; give neither for no window")
        if self.window_days and not self.window_start:
            raise ValueError("window_days needs window_start and window_end")
        return self

    @classmethod
    def within(cls, window: Window) -> Self:
        """Return guards that let a rotation begin in a window only."""
        return cls(
            window_start=window.start, window_end=window.end, window_days=window.days, time_zone=window.time_zone
        )

    @property
    def window(self) -> Window | None:
        """The window, if there is one."""
        if not self.window_start:
            return None
        return Window(start=self.window_start, end=self.window_end, days=self.window_days, time_zone=self.time_zone)
