"""Who gets a credential, and how: workloads, and the deliveries that bring it to their pods."""

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from infra.credentials.fields import Model, Namespace, ObjectName


class WorkloadKind(StrEnum):
    """The kinds of workload that can be restarted and watched."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"


SCALABLE = (WorkloadKind.DEPLOYMENT, WorkloadKind.STATEFUL_SET)
"""The kinds that can be scaled to 0 and back."""


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


class CsiDelivery(Model):
    """The Secrets Store CSI driver mounts the vault's secrets and syncs them to a Kubernetes Secret."""

    kind: Literal["csi"] = "csi"
    secret_provider_class: ObjectName = Field(
        title="SecretProviderClass", description="The SecretProviderClass that mounts the vault's secrets in the pods."
    )
    synced_secret: ObjectName = Field(
        title="Synced Secret", description="The Kubernetes Secret that the CSI driver keeps equal to the vault."
    )


Delivery = CsiDelivery
"""Every delivery there is."""


class Consumer(Model):
    """A workload whose pods get the credential, and the delivery that brings it."""

    workload: WorkloadRef
    delivery: Delivery
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

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.is_database and self.workload.kind not in SCALABLE:
            raise ValueError(f"the database itself is a {' or a '.join(SCALABLE)}, not a {self.workload.kind}")
        return self

    @property
    def key(self) -> str:
        """The workload, as messages name it."""
        return self.workload.key

    @property
    def source_key(self) -> str:
        """What its delivery reads from, as namespace/name: where versions are pinned."""
        return f"{self.workload.namespace}/{self.delivery.secret_provider_class}"

    @property
    def secret_key(self) -> str:
        """The Kubernetes Secret that its delivery keeps, as namespace/name."""
        return f"{self.workload.namespace}/{self.delivery.synced_secret}"
