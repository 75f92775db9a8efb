"""The walkthrough's names as the shipped files say them: what most tests rotate."""

from pathlib import Path

from infra.credentials import Consumer, Credential, WorkloadKind, load_inventory

ROOT = Path(__file__).parents[1]
INVENTORY = load_inventory(ROOT / "credentials.yaml")
DEXTER: Credential = INVENTORY.get("dexter")
"""The database in the cluster."""
SERVER: Credential = INVENTORY.get("dexter-server")
"""The administrator of the Flexible Server."""
DATABASE: Consumer = DEXTER.consumers[0]


def change(credential: Credential, **changes: object) -> Credential:
    """Return a credential with other values in some fields, checked as those of an inventory are."""
    return Credential.model_validate({**credential.model_dump(), **changes})


def consumer_like(
    consumer: Consumer, namespace: str = "", name: str = "", kind: WorkloadKind | None = None, **changes: object
) -> Consumer:
    """Return a consumer with another workload, and other values in some fields."""
    workload = consumer.workload.model_copy(
        update={
            "kind": kind or consumer.workload.kind,
            "namespace": namespace or consumer.workload.namespace,
            "name": name or consumer.workload.name,
        }
    )
    return consumer.model_copy(update={"workload": workload, **changes})
