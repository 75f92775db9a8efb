"""What a lab is started with, and the names that everything in it shares."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

TENANT_ID = "72f988bf-0000-4000-8000-2d7cd011db47"
SUBSCRIPTION_ID = "0b1f6471-0000-4000-8000-112233445566"
OPERATOR_CLIENT_ID = "5f0e7a3c-0000-4000-8000-0a0b0c0d0e0f"


class DriverGeneration(StrEnum):
    """Which Secrets Store CSI driver the cluster has."""

    RECONCILER = "reconciler"
    """Up to 1.5: one ticker a node looks for new versions; the mount never refreshes an existing Secret."""
    REPUBLISH = "republish"
    """1.6: the kubelet republishes the volume and the driver looks again when its interval has passed."""


@dataclass(frozen=True)
class LabOptions:
    """Options of one lab.

    Args:
        state_dir: folder that holds everything the lab writes; `down` removes it.
        network: first two bytes of the loopback network that is the lab's own, as "127.77".
        ports: range for the lab's listeners on 127.0.0.1, first and last; (0, 0) takes any free port.
        driver: which generation of the CSI driver clusters get.
        poll_interval_seconds: overrides the poll interval that a cluster is created with; None leaves it.
        propagation_delay_seconds: how long a new role assignment or federated credential has no effect.
        operation_seconds: how long a long-running ARM operation takes at least.
        is_fresh: whether no resource provider is registered yet, as in a new subscription; else all are.
        trusted_issuers: URLs of OIDC issuers outside the lab whose keys its Entra ID fetches.
        listen: address and port at which Azure's services answer without a proxy; None for none.
        prefect_home: PREFECT_HOME of the Prefect server that runs with the lab; None for no such server.
    """

    state_dir: Path
    network: str = "127.77"
    ports: tuple[int, int] = (0, 0)
    driver: DriverGeneration = DriverGeneration.RECONCILER
    poll_interval_seconds: float | None = None
    propagation_delay_seconds: float = 0.0
    operation_seconds: float = 0.2
    is_fresh: bool = False
    trusted_issuers: tuple[str, ...] = ()
    listen: tuple[str, int] | None = None
    prefect_home: Path | None = None
