"""What the flows that prove something are told: access, and the whole story."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from infra.targets.fields import DryRun, Model
from infra.targets.rotation import Sync


class AccessRows(StrEnum):
    """Whose access is proven."""

    ALL = "all"
    MACHINE = "machine"
    POD = "pod"


class AccessOptions(Model):
    """Which access is proven."""

    rows: AccessRows = Field(
        AccessRows.ALL,
        title="Whose access",
        description="machine: secret and blob by the VM's identity (S1, S2). pod: blob by workload identity (S15).",
    )


class StoryOptions(Model):
    """How the whole walkthrough goes. As it stands, nothing is changed: the first plan is shown alone."""

    dry_run: DryRun = Field(True, description="Show the provisioning's plan and change nothing.")
    sync: Sync = Field(
        Sync.WAIT,
        title="Sync",
        description="wait: the driver's poll is waited for, as the walkthrough does. express: a fresh mount fetches "
        "the newest versions.",
    )
    data_loss: Literal["no", "I accept data loss"] = Field(
        "no",
        title="Data loss",
        description="The walkthrough's database begins empty after the rotation: it is rotated only with this consent.",
    )
