"""Events of a credential, a stack or the fleet: who listens needs neither logs nor runs.

    trail = Trail("orders-db")
    trail.emit("started", {"rotation_id": "20261127-031500-k3f9"})   # keyturn.credential.started
    trail.emit("published", {...})                                   # follows it

A payload has names, ids and versions, never values. https://docs.prefect.io/v3/concepts/events
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prefect.events import Event, emit_event
from prefect.runtime import flow_run

from tasks.reports.logs import best_effort

Kind = Literal["credential", "stack", "fleet"]
PAGED = ("refused", "rolled_back", "sync_pending", "needs_operator", "failed")
"""Events of a credential that somebody is paged for; automations.yaml names them."""


@dataclass
class Trail:
    """The events of one subject in one run. Each follows the one before it, which orders them.

    Args:
        subject: the credential's or the stack's name.
        kind: what the subject is.
        last: the newest event, if Prefect took one.
    """

    subject: str
    kind: Kind = "credential"
    last: Event | None = None

    def emit(self, what: str, payload: Mapping[str, Any] | None = None) -> None:
        """Emit an event, if there is a run; Prefect itself relates it to the run, its flow and its deployment.

        Args:
            what: a word in the past tense, or a verdict: `published`, `rolled-back`.
            payload: names, ids and versions.
        """
        if not flow_run.id:
            return
        with best_effort("emit the event"):
            self.last = emit_event(
                event=f"keyturn.{self.kind}.{what.replace('-', '_')}",
                resource={
                    "prefect.resource.id": f"keyturn.{self.kind}.{self.subject}",
                    "prefect.resource.name": self.subject,
                },
                payload=dict(payload or {}),
                follows=self.last,
            )
