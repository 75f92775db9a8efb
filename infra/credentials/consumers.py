"""Who gets a credential, and how: workloads, and the deliveries that bring it to their pods."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.credentials.endpoints import ClusterRef
from infra.credentials.fields import Model, Namespace, Network, ObjectName


class WorkloadKind(StrEnum):
    """The kinds of workload whose pods may get a credential."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"
    ROLLOUT = "Rollout"
    """Of Argo Rollouts."""
    JOB = "Job"
    CRON_JOB = "CronJob"


SCALABLE = (WorkloadKind.DEPLOYMENT, WorkloadKind.STATEFUL_SET, WorkloadKind.ROLLOUT)
"""The kinds that can be scaled to 0 and back."""
RUNS = (WorkloadKind.JOB, WorkloadKind.CRON_JOB)
"""The kinds whose pods run to an end: they are never restarted, and the next run begins with the new login."""


class WorkloadRef(Model):
    """A workload in the cluster, by name."""

    kind: WorkloadKind = Field(WorkloadKind.DEPLOYMENT, description="The workload's kind.")
    namespace: Namespace
    name: ObjectName = Field(description="The workload's name.")

    def __str__(self) -> str:
        return f"{self.kind.lower()} {self.namespace}/{self.name}"

    @property
    def key(self) -> str:
        """Kind, namespace and name: what tells it from every other workload of the cluster."""
        return str(self)


class PlacedWorkload(WorkloadRef):
    """A workload in another cluster than the credential's own, never equal to one of the same name there."""

    cluster: ClusterRef

    def __str__(self) -> str:
        return in_cluster(super().__str__(), self.cluster)


def in_cluster(what: str, cluster: ClusterRef | None) -> str:
    """Say in which cluster something is, where that is not the credential's own."""
    return f"{what} in cluster {cluster}" if cluster else what


class CsiDelivery(Model):
    """The Secrets Store CSI driver mounts the vault's secrets, and may sync them to a Kubernetes Secret."""

    kind: Literal["csi"] = "csi"
    secret_provider_class: ObjectName = Field(
        title="SecretProviderClass", description="The SecretProviderClass that mounts the vault's secrets in the pods."
    )
    synced_secret: ObjectName | None = Field(
        None,
        title="Synced Secret",
        description="The Kubernetes Secret that the CSI driver keeps equal to the vault. None: the files alone.",
    )

    @property
    def source(self) -> str:
        """What is pinned."""
        return self.secret_provider_class

    @property
    def secret_name(self) -> str:
        """The Kubernetes Secret that it keeps; empty: none."""
        return self.synced_secret or ""


class SecretDelivery(Model):
    """A Kubernetes Secret that the CSI driver keeps, because another workload mounts its SecretProviderClass."""

    kind: Literal["secret"]
    secret: ObjectName = Field(title="Secret", description="The Kubernetes Secret that the pods read.")
    kept_by: ObjectName = Field(
        title="Kept by",
        description="The SecretProviderClass, in the same namespace, that syncs the Secret where others mount it.",
    )

    @property
    def source(self) -> str:
        """What is pinned."""
        return self.kept_by

    @property
    def secret_name(self) -> str:
        """The Kubernetes Secret."""
        return self.secret


class ExternalSecretDelivery(Model):
    """External Secrets Operator keeps a Kubernetes Secret equal to the vault, by an ExternalSecret."""

    kind: Literal["external-secret"]
    external_secret: ObjectName = Field(title="ExternalSecret", description="The ExternalSecret that keeps the Secret.")
    synced_secret: ObjectName | None = Field(
        None,
        title="Synced Secret",
        description="The Kubernetes Secret that it keeps, if its target has another name than itself.",
    )

    @property
    def source(self) -> str:
        """What is pinned."""
        return f"externalsecret/{self.external_secret}"

    @property
    def secret_name(self) -> str:
        """The Kubernetes Secret."""
        return self.synced_secret or self.external_secret


Delivery = Annotated[CsiDelivery | SecretDelivery | ExternalSecretDelivery, Field(discriminator="kind")]
"""Every delivery there is."""


class ExternalConsumer(Model):
    """Somebody outside the clusters who reads the vault alone: a person, an App Service, another company."""

    name: str = Field(title="Name", min_length=1, max_length=100, description="Who it is, as reports say it.")
    owner: str = Field(
        title="Owner",
        min_length=1,
        max_length=200,
        description="Who tells it that there is a new login, or sees that it fetches it: a team, an address.",
    )
    addresses: tuple[Network, ...] = Field(
        (),
        title="Addresses",
        description="The addresses or networks that it logs in from, as the database sees them.",
        examples=[["203.0.113.7", "10.20.0.0/16"]],
    )

    def __str__(self) -> str:
        return f"{self.name}, outside the cluster, told by: {self.owner}"


class Reload(Model):
    """A command that lets a client take new values from its files while it runs on, such as a pooler's RELOAD."""

    container: Namespace = Field(title="Container", description="The container that the command runs in.")
    command: tuple[str, ...] = Field(
        title="Command",
        min_length=1,
        description="The command and its arguments, without a shell. It runs in every pod, maybe more than once.",
        examples=[["pgbouncer-reload"]],
    )


class Consumer(Model):
    """A workload whose pods get the credential, and the deliveries that bring it."""

    workload: WorkloadRef
    cluster: ClusterRef | None = Field(
        None, title="Cluster", description="The cluster that it runs in, if that is not the credential's own."
    )
    delivery: Delivery | None = Field(
        None, title="Delivery", description="What brings the credential to the pods. For several: deliveries."
    )
    deliveries: tuple[Delivery, ...] = Field(
        (),
        title="Deliveries",
        description="Several that bring the credential together, as one class with the username and one with the "
        "password. They are pinned, waited for and refreshed together.",
    )
    is_database: bool = Field(
        False,
        title="Is the database",
        description="The database itself: its pods are initialised from the credential, they do not log in with it.",
    )
    needs_restart: bool = Field(
        True,
        title="Needs a restart",
        description="Whether a client takes new values only when it restarts. Off: it re-reads its files by itself.",
    )

    reload: Reload | None = Field(
        None,
        title="Reload",
        description="A command in its pods that makes it take new values from its files: it is run instead of a "
        "restart.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.is_database and self.workload.kind not in SCALABLE:
            raise ValueError(
                f"a {self.workload.kind} cannot be the database: mark a {' or a '.join(SCALABLE)} with is_database"
            )
        if (self.delivery is None) is not bool(self.deliveries):
            raise ValueError(
                "delivery and deliveries exclude each other: give delivery, or deliveries where there are several"
            )
        if len(set(self.every_delivery)) < len(self.every_delivery):
            raise ValueError("a delivery is listed more than once: list each once")
        if self.follows_its_files and not all(isinstance(delivery, CsiDelivery) for delivery in self.every_delivery):
            raise ValueError(
                "nothing shows when the kubelet has brought a Secret's new values to files that are mounted from it: "
                "use deliveries of kind csi, or let it restart, without reload and needs_restart"
            )
        if self.reload and (self.is_database or self.runs_to_an_end):
            what = "the database itself" if self.is_database else f"a {self.workload.kind}"
            raise ValueError(f"{what} is not reloaded: leave out the field reload")
        return self

    @property
    def key(self) -> str:
        """The workload, as messages name it."""
        return self.placed.key

    @property
    def placed(self) -> WorkloadRef:
        """The workload, with its cluster where that is not the credential's own: what steps act on."""
        named = self.workload.model_dump()
        return PlacedWorkload(**named, cluster=self.cluster) if self.cluster else self.workload

    @property
    def every_delivery(self) -> tuple[Delivery, ...]:
        """What brings the credential to the pods, whether one or several were given."""
        return self.deliveries or ((self.delivery,) if self.delivery else ())

    @property
    def runs_to_an_end(self) -> bool:
        """Whether its pods end by themselves, and later ones begin with what is current then."""
        return self.workload.kind in RUNS

    @property
    def is_restarted(self) -> bool:
        """Whether it is a client that only a restart brings new values to."""
        return self.needs_restart and not (self.reload or self.is_database or self.runs_to_an_end)

    @property
    def follows_its_files(self) -> bool:
        """Whether it is a client that takes new values from its files, by itself or when it is told."""
        return not (self.is_restarted or self.is_database or self.runs_to_an_end)

    @property
    def source_key(self) -> str:
        """What its deliveries read from, as namespace/name and other cluster: where versions are pinned."""
        return self._in_namespace(delivery.source for delivery in self.every_delivery)

    @property
    def secret_key(self) -> str:
        """The Kubernetes Secrets that its deliveries keep, as namespace/name and other cluster; empty: only files."""
        return self._in_namespace(delivery.secret_name for delivery in self.every_delivery)

    def by_one(self, delivery: Delivery) -> "Consumer":
        """Return the consumer as one of its deliveries sees it."""
        return self.model_copy(update={"delivery": delivery, "deliveries": ()})

    def _in_namespace(self, names: Iterable[str]) -> str:
        found = ", ".join(dict.fromkeys(f"{self.workload.namespace}/{name}" for name in names if name))
        return in_cluster(found, self.cluster) if found else ""
