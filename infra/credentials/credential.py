"""A credential: where it is kept, which database takes it, and who consumes it. Names only, never values."""

from collections.abc import Collection
from datetime import timedelta
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from infra.credentials.consumers import Consumer
from infra.credentials.endpoints import ClusterRef, Endpoint, FlexibleServerEndpoint, LoadBalancerEndpoint
from infra.credentials.fields import CREDENTIAL_NAME, DatabaseName, Model, Namespace, VaultName
from infra.credentials.layouts import Part, SecretLayout, SecretPair
from infra.credentials.schedule import LENGTH, Length, Window, parse_length

NO_GRACE, UNTIL_NEXT_ROTATION = "now", "next-rotation"


class Strategy(StrEnum):
    """How the database gets the new login."""

    RECREATE = "recreate"
    IN_PLACE = "in-place"
    ALTERNATING = "alternating"
    MANAGED = "managed"


class ValidUntil(StrEnum):
    """What becomes of the date on which a login's password ends (VALID UNTIL), if it has one."""

    EXTEND = "extend"
    KEEP = "keep"


class PasswordCopies(StrEnum):
    """What copies of the password inside the database mean for a rotation."""

    BLOCK = "block"
    WARN = "warn"


class Credential(Model):
    """One credential of the inventory."""

    name: str = Field(
        title="Credential",
        max_length=63,
        pattern=CREDENTIAL_NAME,
        description="Its name in the inventory: lower-case letters, digits and hyphens.",
    )
    vault: VaultName
    secrets: SecretLayout = Field(title="Secrets", description="How the login is kept in the vault's secrets.")
    cluster: ClusterRef = Field(title="Cluster", description="The cluster that the consumers run in.")
    lock_namespace: Namespace = Field(
        title="Lock's namespace",
        description="The namespace in that cluster whose Lease keeps two rotations of this credential apart.",
    )
    endpoint: Endpoint = Field(title="Endpoint", description="Where the database is reached.")
    database: DatabaseName = Field(
        "postgres", description="The database that proves a login. `postgres` exists on every server."
    )
    strategy: Strategy = Field(
        title="Strategy",
        description="recreate: the database is initialised from the Secret when its pod starts; its data is lost. "
        "in-place: the login gets a new password inside the running database; nothing is lost. "
        "alternating: two logins of one owner role take turns, no login fails; the flow migrate prepares it. "
        "managed: the administrator of a Flexible Server, through Azure.",
    )
    administrator: SecretLayout | None = Field(
        None,
        title="Administrator's secrets",
        description="Used with `alternating` and `in-place`: the vault's secrets of a login that may create roles and "
        "set their passwords. None: the credential's own login does it.",
    )
    password_copies: PasswordCopies = Field(
        PasswordCopies.BLOCK,
        title="Copies of the password",
        description="User mappings, subscriptions, dblink strings and jobs that use the login do not get its new "
        "password. block: such a rotation is refused. warn: somebody updates them right after it.",
    )
    grace: str = Field(
        NO_GRACE,
        title="Grace",
        pattern=rf"^(now|next-rotation|{LENGTH})$",
        description="Used with `alternating`: how long the previous login works on, for whoever is not restarted. "
        "now: until every consumer has the new one. 24h or 3d: that long after. next-rotation: until then.",
        examples=["24h"],
    )
    unlisted_consumers: Literal["block", "warn"] = Field(
        "block",
        title="Unlisted consumers",
        description="What a workload means that reads the credential and is not listed. block: no rotation begins.",
    )
    expires_after_days: int | None = Field(
        None,
        title="Expires after (days)",
        ge=1,
        le=3650,
        description="When a new version expires. None: it lasts as long as the version before did, and one without an "
        "expiry gets none.",
    )
    valid_until: ValidUntil = Field(
        ValidUntil.EXTEND,
        title="VALID UNTIL",
        description="Of a login whose password ends on a date. extend: the new password is valid for as long as the "
        "previous one was meant to be, counted from the version that it was written in. keep: the date stays.",
    )
    consumers: tuple[Consumer, ...] = Field(
        (),
        title="Consumers",
        description="Every workload whose pods get the credential: the database's own, and its clients. "
        "None if the credential is only read from the vault.",
    )
    every: Length | None = Field(
        None,
        title="Every",
        description="How often the fleet rotates it: 60d, 24h or 90m after the last rotation. None: not by its age.",
    )
    before_expiry: Length | None = Field(
        None,
        title="Before expiry",
        description="In place of `every`: how long before the newest version expires the fleet rotates it, as 14d.",
    )
    window: Window | None = Field(
        None,
        title="Maintenance window",
        description="When the fleet may begin a rotation. None: at any time.",
    )
    ring: int = Field(
        1,
        title="Ring",
        ge=0,
        le=99,
        description="The fleet rotates ring by ring, the lowest first, and stops at one that fails. 0 is the canary.",
    )
    paused: bool = Field(
        False, title="Paused", description="The fleet begins no rotation of it. A person still can, by name."
    )
    owner: str = Field(
        "", title="Owner", max_length=200, description="Who is responsible, as reports show it: a team, an address."
    )

    @field_validator("consumers")
    @classmethod
    def _lists_each_once(cls, consumers: tuple[Consumer, ...]) -> tuple[Consumer, ...]:
        keys = [consumer.key for consumer in consumers]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"a workload is listed once: {', '.join(repeated)}")
        return consumers

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [*self.secret_names, *(self.administrator.names if self.administrator else ())]
        if len({name.lower() for name in names}) < len(names):
            raise ValueError("each of the secrets needs a name of its own; case does not count")
        self._refuse_layout()
        if self.strategy is Strategy.MANAGED and not isinstance(self.endpoint, FlexibleServerEndpoint):
            raise ValueError("the strategy managed is for a Flexible Server: give an endpoint of kind flexible-server")
        if self.strategy is Strategy.RECREATE and not isinstance(self.endpoint, LoadBalancerEndpoint):
            raise ValueError(
                "the strategy recreate is for a database in the cluster: give an endpoint of kind load-balancer"
            )
        if self.grace != NO_GRACE and self.strategy is not Strategy.ALTERNATING:
            raise ValueError("grace needs the strategy alternating: with others the login has one password at a time")
        if self.strategy is Strategy.ALTERNATING:
            for consumer in self.consumers:
                if not consumer.needs_restart and len({delivery.source for delivery in consumer.every_delivery}) > 1:
                    raise ValueError(
                        f"{consumer.key} re-reads files of several SecretProviderClasses, each polled by itself: with "
                        "alternating it would mix two logins meanwhile. Use one class, or let it restart"
                    )
        return self

    @model_validator(mode="after")
    def _is_due_at_one_time(self) -> Self:
        if self.every and self.before_expiry:
            raise ValueError("every and before_expiry exclude each other: give the one that says when it is due")
        if self.interval and self.grace_period and self.grace_period >= self.interval:
            raise ValueError("grace lasts as long as every: the next rotation would be due before it ends; shorten it")
        if self.lead_time and self.expires_after_days and self.lead_time >= timedelta(days=self.expires_after_days):
            raise ValueError("before_expiry is not shorter than expires_after_days: it would be due at once")
        return self

    def _refuse_layout(self) -> None:
        if self.strategy is Strategy.RECREATE and not isinstance(self.secrets, SecretPair):
            raise ValueError(
                "the strategy recreate initialises the database from two secrets: give secrets of kind pair, or use "
                "in-place"
            )
        if self.strategy is Strategy.ALTERNATING and not self.secrets.keeps_username:
            raise ValueError(
                "the strategy alternating changes the username, so it must be in the vault: give secrets that hold it, "
                "or use in-place"
            )

    def find_contradiction(self) -> str:
        """Say which of its consumers every plan would refuse, whatever is seen; empty if none does."""
        databases = [consumer.key for consumer in self.consumers if consumer.is_database]
        if self.strategy is Strategy.RECREATE and not databases:
            return "none is the database, which recreate starts anew: mark it with is_database: true, or use in-place"
        if self.strategy is Strategy.MANAGED and databases:
            return f"{databases[0]} is marked as the database, but a Flexible Server is no workload: remove is_database"
        return ""

    @property
    def secret_names(self) -> tuple[str, ...]:
        """All secrets that a rotation reads, in the order in which they are published: the password's last."""
        return self.secrets.names

    def secrets_of(self, parts: Collection[Part]) -> tuple[str, ...]:
        """Return the secrets that change when these parts of the login do, in the order in which they are published."""
        return self.secrets.secrets_of(parts)

    @property
    def needs_pins(self) -> bool:
        """Whether a mount may mix two logins while a new username is published: one secret is written at a time."""
        return len(self.secrets_of(tuple(Part))) > 1

    @property
    def grace_period(self) -> timedelta | None:
        """How long the previous login works on after a rotation; None: until the next one."""
        if self.grace in (NO_GRACE, UNTIL_NEXT_ROTATION):
            return timedelta() if self.grace == NO_GRACE else None
        return parse_length(self.grace)

    @property
    def interval(self) -> timedelta | None:
        """How old a password may get; None: no age makes a rotation due."""
        return parse_length(self.every) if self.every else None

    @property
    def lead_time(self) -> timedelta | None:
        """How long before its expiry a version is due; None: no expiry makes a rotation due."""
        return parse_length(self.before_expiry) if self.before_expiry else None

    def consumer(self, key: str) -> Consumer:
        """The consumer whose workload is called `key`."""
        return next(consumer for consumer in self.consumers if consumer.key == key)
