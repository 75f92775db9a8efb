"""A credential: where it is kept, which database takes it, and who consumes it. Names only, never values."""

from collections.abc import Collection
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from infra.credentials.clusters import settle
from infra.credentials.consumers import Consumer, ExternalConsumer
from infra.credentials.derived import DerivedSecret
from infra.credentials.endpoints import (
    ClusterIpEndpoint,
    ClusterRef,
    Endpoint,
    FlexibleServerEndpoint,
    LoadBalancerEndpoint,
)
from infra.credentials.fields import CREDENTIAL_NAME, DatabaseName, Model, Namespace, Network, VaultName
from infra.credentials.layouts import SecretLayout, SecretPair
from infra.credentials.login import Part
from infra.credentials.passwords import PasswordRule
from infra.credentials.schedule import LENGTH, Length, Window, parse_length

NO_GRACE, UNTIL_NEXT_ROTATION = "now", "next-rotation"
MOST_DERIVED = 20
SUFFIXES = ("_a", "_b")
Suffix = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,16}$")]
AZURE_KINDS = 3
"""https://learn.microsoft.com/azure/postgresql/flexible-server/quickstart-create-server"""


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
    derived: tuple[DerivedSecret, ...] = Field(
        (),
        title="Derived secrets",
        max_length=MOST_DERIVED,
        description="Further secrets of the vault that are made of the login by a template, and published with it.",
    )
    cluster: ClusterRef = Field(
        title="Cluster",
        description="The cluster that the consumers run in, but for those that name another. It holds the lock.",
    )
    lock_namespace: Namespace = Field(
        title="Lock's namespace",
        description="The namespace in that cluster whose Lease keeps two rotations of this credential apart.",
    )
    endpoint: Endpoint = Field(title="Endpoint", description="Where the database is reached, and its logins changed.")
    pooler: Endpoint | None = Field(
        None,
        title="Pooler",
        description="A pooler in front of the database that clients log in to: each login is proven there, too.",
    )
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
    password: PasswordRule = Field(
        PasswordRule(), title="New passwords", description="How long a new password is, and of which characters."
    )
    username_suffixes: tuple[Suffix, Suffix] = Field(
        SUFFIXES,
        title="Suffixes of usernames",
        description="Used with `alternating` and `recreate`: what the names of two logins that take turns end with, "
        "where the owner role has no other login yet.",
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
        description="What it means that somebody who is not listed reads the credential, or has sessions of its login. "
        "block: no rotation begins.",
    )
    client_addresses: tuple[Network, ...] = Field(
        (),
        title="Clients' addresses",
        description="Addresses or networks that consumers log in from, as the database sees them, where those are not "
        "their pods' or nodes' own: of a NAT gateway, of a load balancer's outbound rule, of a pooler.",
        examples=[["203.0.113.7"]],
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
    external_consumers: tuple[ExternalConsumer, ...] = Field(
        (),
        title="External consumers",
        description="Whoever else uses the login, outside the clusters. No rotation brings it the new one, so it needs "
        "the strategy alternating and a grace.",
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
    def _lists_each_once(cls, consumers: tuple[Consumer, ...], info: ValidationInfo) -> tuple[Consumer, ...]:
        if own := info.data.get("cluster"):
            consumers = tuple(settle(consumers, own))
        keys = [consumer.key for consumer in consumers]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"{', '.join(repeated)} is listed more than once: list each workload once")
        return consumers

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [*self.secret_names, *(self.administrator.names if self.administrator else ())]
        if len({name.lower() for name in names}) < len(names):
            raise ValueError("two secrets have the same name, case does not count: give each a name of its own")
        self._refuse_layout()
        self._refuse_rule()
        if self.strategy is Strategy.MANAGED and not isinstance(self.endpoint, FlexibleServerEndpoint):
            raise ValueError("the strategy managed is for a Flexible Server: give an endpoint of kind flexible-server")
        in_cluster = isinstance(self.endpoint, LoadBalancerEndpoint | ClusterIpEndpoint)
        if self.strategy is Strategy.RECREATE and not in_cluster:
            raise ValueError(
                "the strategy recreate is for a database in the cluster: give an endpoint of kind load-balancer or "
                "cluster-ip"
            )
        elsewhere = next((consumer for consumer in self.consumers if consumer.is_database and consumer.cluster), None)
        if in_cluster and elsewhere:
            raise ValueError(
                f"{elsewhere.key} is the database, but the endpoint's Service is in the credential's cluster "
                f"({self.cluster}): give the credential the database's cluster, and let its clients name theirs"
            )
        if self.grace != NO_GRACE and self.strategy is not Strategy.ALTERNATING:
            raise ValueError(
                "grace needs two logins at a time, which only alternating has: use alternating, or leave grace out"
            )
        if self.external_consumers and self.grace == NO_GRACE:
            outside = ", ".join(consumer.name for consumer in self.external_consumers)
            raise ValueError(
                f"an external consumer ({outside}) needs time to fetch the new login while the previous one works: use "
                "the strategy alternating and give a grace, as 24h"
            )
        if self.strategy is Strategy.ALTERNATING:
            for consumer in self.consumers:
                if not consumer.needs_restart and len({delivery.source for delivery in consumer.every_delivery}) > 1:
                    raise ValueError(
                        f"{consumer.key} re-reads files of several SecretProviderClasses, each polled by itself, so "
                        "alternating would mix two logins meanwhile: use one class, or let it restart"
                    )
        return self

    @model_validator(mode="after")
    def _is_due_at_one_time(self) -> Self:
        if self.every and self.before_expiry:
            raise ValueError("every and before_expiry exclude each other: give the one that says when it is due")
        if self.interval and self.grace_period and self.grace_period >= self.interval:
            raise ValueError(
                "grace lasts as long as every, so the next rotation would be due before it ends: shorten grace"
            )
        if self.lead_time and self.expires_after_days and self.lead_time >= timedelta(days=self.expires_after_days):
            raise ValueError(
                "before_expiry is not shorter than expires_after_days, so it would be due at once: shorten it"
            )
        return self

    def _refuse_rule(self) -> None:
        first, second = self.username_suffixes
        if first.endswith(second) or second.endswith(first):
            raise ValueError("one of the username_suffixes ends with the other: write two of which neither does")
        if self.username_suffixes != SUFFIXES and self.strategy not in (Strategy.ALTERNATING, Strategy.RECREATE):
            raise ValueError(
                "username_suffixes need a strategy that changes the username: use alternating or recreate, or leave "
                "them out"
            )
        if self.strategy is Strategy.MANAGED and len(self.password.demanded) < AZURE_KINDS:
            raise ValueError(
                "Azure takes an administrator's password only if it has characters of three kinds: give the password "
                "more sets, or symbols"
            )
        bare = [derived.secret for derived in self.derived if derived.has_bare_password]
        if bare and self.password.needs_quoting:
            raise ValueError(
                f"the template of {bare[0]} does not say how a password with these symbols is written: write "
                "{password:uri}, or {password:raw} for as it is"
            )

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
        return (*(derived.secret for derived in self.derived), *self.secrets.names)

    def secrets_of(self, parts: Collection[Part]) -> tuple[str, ...]:
        """Return the secrets that change when these parts of the login do, in the order in which they are published."""
        changed = tuple(derived.secret for derived in self.derived if derived.parts & set(parts))
        return (*changed, *self.secrets.secrets_of(parts))

    def find_derived(self, secret: str) -> DerivedSecret | None:
        """Return what makes a secret of the login; None if its layout holds it."""
        return next((derived for derived in self.derived if derived.secret == secret), None)

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

    @property
    def by_cluster(self) -> dict[ClusterRef, tuple[Consumer, ...]]:
        """Each cluster with the consumers in it: the credential's own first, which has its lock and maybe none."""
        places = dict.fromkeys((self.cluster, *(consumer.cluster for consumer in self.consumers if consumer.cluster)))
        return {
            place: tuple(consumer for consumer in self.consumers if (consumer.cluster or self.cluster) == place)
            for place in places
        }

    def namespaces_in(self, place: ClusterRef) -> tuple[str, ...]:
        """The namespaces of one of its clusters that it has to do with: the lock's, and those of consumers."""
        lock = (self.lock_namespace,) if place == self.cluster else ()
        return tuple(dict.fromkeys((*lock, *(consumer.workload.namespace for consumer in self.by_cluster[place]))))

    def consumer(self, key: str) -> Consumer:
        """The consumer whose workload is called `key`."""
        return next(consumer for consumer in self.consumers if consumer.key == key)
