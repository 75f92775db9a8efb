"""How a run ends: one word and one sentence, put wherever people and automations look.

    return end("rotated", "orders-db", "2 consumers have the new versions.")
    return end("refused", "orders-db", error=error)

A run ends in Prefect's own Completed or Failed, because UIs, filters and automations know these. Its verdict is a tag,
the end of its name (`orders-db: rolled back`), the beginning of its message, a line of its log, and an event
(`keyturn.credential.rolled_back`). All of that is reporting: if Prefect's API fails, the run ends as it would have.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, get_args
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from infra.errors import KeyturnError, Refused
from tasks.reports.events import Kind, Trail
from tasks.reports.logs import best_effort, own_errors_alone, run_logger

P = ParamSpec("P")
VERDICT_LABEL = "keyturn.verdict"


def end(
    verdict: str,
    subject: str,
    message: str = "",
    *,
    kind: Kind = "credential",
    error: KeyturnError | None = None,
    payload: Mapping[str, Any] | None = None,
    data: Any = None,
    trail: Trail | None = None,
    event: str = "",
) -> State[Any]:
    """Report how the current run ends, and return the state for it to return.

    Args:
        verdict: in kebab case: `rotated`, `rolled-back`.
        subject: name of the credential or stack.
        message: what a person should know, the most important first; the error's text by default.
        kind: what the subject is.
        error: why the run did not do what it was asked for; it ends as Failed then.
        payload: what the event says beside: names, ids and versions, never values.
        trail: the events of the run so far, which this one follows.
        event: what the event is called, if not as the verdict.
        data: what a flow that called this one gets; the error, if there is one.

    Returns:
        Completed or Failed. A caller in the same process gets `data` from it, or `error` raised.
    """
    words = verdict.replace("-", " ")
    text = f"{subject}: {words}. {message or error or ''}".strip()
    with best_effort("log the verdict"):
        (run_logger().error if error else run_logger().info)(text.partition("\n")[0])
    if flow_run.id:
        with best_effort("put the verdict on the run", is_patient=True):
            _mark_run(UUID(flow_run.id), verdict, f"{subject}: {words}")
        told = {"verdict": verdict, "message": text, "code": error.code if error else "", **(payload or {})}
        (trail or Trail(subject, kind)).emit(event or verdict, told)
    return Failed(message=text, data=error) if error else Completed(message=text, data=data)


def ends_with_own_errors(function: Callable[P, State[Any]]) -> Callable[P, State[Any]]:
    """Let a flow end as Failed, with its reports, when an error leaves its function.

    Stands below `@flow`. The function's first parameter is the subject: `credential` or `stack`. If it is neither, the
    flow is about the whole fleet.
    """
    first = next(iter(function.__annotations__))
    kind: Kind = first if first in get_args(Kind) else "fleet"  # type: ignore[assignment]

    @wraps(function)
    def ended(*args: P.args, **kwargs: P.kwargs) -> State[Any]:
        subject = kind if kind == "fleet" else str(args[0] if args else kwargs[kind])
        try:
            with own_errors_alone(subject):
                return function(*args, **kwargs)
        except KeyturnError as error:
            return end("refused" if isinstance(error, Refused) else "failed", subject, kind=kind, error=error)

    return ended


def _mark_run(run_id: UUID, verdict: str, name: str) -> None:
    """Put the verdict into the run's name and tags; that of an earlier attempt goes."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        earlier = run.labels.get(VERDICT_LABEL)
        client.update_flow_run(run_id, name=name, tags=[*(tag for tag in run.tags if tag != earlier), verdict])
        client.update_flow_run_labels(run_id, {VERDICT_LABEL: verdict})
