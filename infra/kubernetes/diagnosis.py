"""Why pods do not get ready, or a Service has no address: their state and events as level, summary and fix. Pure.

What is not recognised is shown as it was seen.

    causes = diagnose(pods, events)
    raise unhealthy("db in dexter", causes)
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from infra.errors import WorkloadUnhealthy
from infra.kubernetes.client import Object
from infra.kubernetes.mount_failures import Level, explain_mount_failure

DETAIL_LIMIT = 700
DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
"""The reason of a Deployment's condition Progressing once its rollout is given up."""
_NOT_CREATED = "FailedToCreateSecret"
_NOT_MADE = "FailedCreate"
"""The reason of the event of a StatefulSet, DaemonSet or Job whose pod is refused."""


class _Reason(StrEnum):
    """The kubelet's reasons for a container that does not run."""

    CONFIG = "CreateContainerConfigError"
    PULL = "ErrImagePull"
    PULL_BACKOFF = "ImagePullBackOff"
    NAME = "InvalidImageName"
    CRASH = "CrashLoopBackOff"


@dataclass(frozen=True)
class Diagnosis:
    """One cause.

    Args:
        level: how serious it is.
        subject: the pod, container or Service that it is about.
        summary: the cause in one sentence, without a full stop.
        detail: what was seen, shortened.
        fix: how to fix it.
        code: the vendor's code or reason, such as `AADSTS700213`, `ForbiddenByRbac`, `ErrImagePull`.
    """

    level: Level
    subject: str
    summary: str
    detail: str
    fix: str
    code: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", _shorten(self.detail))

    def __str__(self) -> str:
        return f"{self.subject}: {self.summary}: {self.detail}"


def diagnose(pods: Sequence[Object], events: Iterable[Object]) -> list[Diagnosis]:
    """Explain why pods are not ready.

    Args:
        pods: a workload's own pods, without finished ones; ready and terminating ones need no explanation.
        events: the namespace's events; those of other objects and of earlier pods are ignored.

    Returns:
        The causes, most serious first; empty if all pods are ready.
    """
    by_uid: dict[str, list[Object]] = {}
    for event in sorted(events, key=_time_of):
        by_uid.setdefault((event.get("involvedObject") or {}).get("uid") or "", []).append(event)
    causes = [
        cause
        for pod in pods
        if not _is_ready(pod) and not pod["metadata"].get("deletionTimestamp")
        for cause in _diagnose_pod(pod, by_uid.get(pod["metadata"]["uid"], []))
    ]
    return sorted(causes, key=lambda cause: list(Level).index(cause.level))


def diagnose_controller(subject: str, workload: Object, events: Iterable[Object] = ()) -> list[Diagnosis]:
    """Explain what keeps a workload's controller from having its pods ready: what it says, or that it is paused.

    Controllers that make pods without a ReplicaSet say in events alone that they cannot.
    """
    causes = [_explain_paused(subject, workload, pause)] if (pause := find_pause(workload)) else []
    for condition in (workload.get("status") or {}).get("conditions") or []:
        kind, detail = condition["type"], str(condition.get("message") or "")
        reason = str(condition.get("reason") or kind)
        if kind == "ReplicaFailure" and condition["status"] == "True":
            causes.append(_explain_uncreated(subject, detail, reason))
        elif reason == DEADLINE_EXCEEDED:
            fix = "See why its pods do not get ready; if they only need longer, raise progressDeadlineSeconds"
            causes.append(
                Diagnosis(Level.WARNING, subject, "The rollout made no progress in time", detail, fix, reason)
            )
    uid, own = workload["metadata"].get("uid", ""), [event for event in events if event.get("reason") == _NOT_MADE]
    failures = [event for event in own if (event.get("involvedObject") or {}).get("uid") == uid]
    if failures:
        causes.append(_explain_uncreated(subject, max(failures, key=_time_of).get("message", ""), _NOT_MADE))
    return causes


def _explain_uncreated(subject: str, detail: str, reason: str) -> Diagnosis:
    fix = "Correct what the message names: a missing service account, a quota, an admission rule"
    return Diagnosis(Level.WARNING, subject, "The pods cannot be created", detail, fix, reason)


def find_pause(workload: Object) -> str:
    """Say what stops a workload's rollout half way: a pause, or a paused or aborted canary; empty: nothing does."""
    status = workload.get("status") or {}
    if workload["spec"].get("paused"):
        return "spec.paused is true"
    if reasons := [condition["reason"] for condition in status.get("pauseConditions") or []]:
        return f"status.pauseConditions has {', '.join(reasons)}"
    return "status.abort is true" if status.get("abort") else ""


def _explain_paused(subject: str, workload: Object, pause: str) -> Diagnosis:
    what, detail = "The rollout is paused", f"{pause}, so new pods do not replace the old ones"
    kind, _, name = subject.partition(" ")
    command = f"kubectl argo rollouts promote {name}" if kind == "rollout" else f"kubectl rollout resume {kind}/{name}"
    fix = f"Resume it: {command} -n {workload['metadata']['namespace']}"
    return Diagnosis(Level.ERROR, subject, what, detail, fix, "Paused")


def diagnose_service(service: Object, events: Iterable[Object]) -> list[Diagnosis]:
    """Explain why a Service of type LoadBalancer has no address."""
    subject, kind = f"service {service['metadata']['name']}", service["spec"].get("type", "ClusterIP")
    if kind != "LoadBalancer":
        what, fix = "The Service is not a load balancer", "Set its type to LoadBalancer"
        return [Diagnosis(Level.ERROR, subject, what, f"type {kind}", fix, "NotALoadBalancer")]
    uid = service["metadata"]["uid"]
    own = [event for event in sorted(events, key=_time_of) if (event.get("involvedObject") or {}).get("uid") == uid]
    last = next((event for event in reversed(own) if event.get("type") == "Warning"), {})
    what, detail = "The load balancer has no address", "no address in its status, no warning among its events"
    fix = "See the cloud's quota of public addresses and the cluster identity's rights on the network"
    code = last.get("reason", "") if last else "NoAddress"
    return [Diagnosis(Level.WARNING, subject, what, last.get("message", "") if last else detail, fix, code)]


def unhealthy(name: str, causes: Sequence[Diagnosis]) -> WorkloadUnhealthy:
    """Make the error that carries a diagnosis; its code and fix are those of the most serious cause."""
    unknown = Diagnosis(Level.INFO, "", "The pods are not ready", "no event and no container state", "Wait longer")
    first = causes[0] if causes else unknown
    seen = "; ".join(dict.fromkeys(map(str, causes)))
    return WorkloadUnhealthy(first.summary, name=name, seen=seen or first.detail, fix=first.fix, code=first.code)


def _diagnose_pod(pod: Object, events: Sequence[Object]) -> Iterator[Diagnosis]:
    """Explain one pod: by its containers' states, else by the events before any container could start."""
    subject, status = f"pod {pod['metadata']['name']}", pod.get("status") or {}
    states = status.get("containerStatuses") or []
    causes = [cause for state in states for cause in _diagnose_container(subject, state, events)]
    if not causes and not _has_started(states):
        causes = [*_find_unscheduled(subject, status), *_find_unmounted(subject, events)]
    yield from causes or [_describe_start(subject, states, events)]


def _diagnose_container(subject: str, state: Object, events: Sequence[Object]) -> Iterator[Diagnosis]:
    """Explain a container that is waiting, if its reason is one that people must know."""
    waiting = (state.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason == _Reason.CONFIG:
        yield _diagnose_configuration(subject, message, events)
    elif reason in (_Reason.PULL, _Reason.PULL_BACKOFF, _Reason.NAME):
        yield _diagnose_image(subject, state.get("image", ""), reason, message, events)
    elif reason == _Reason.CRASH:
        ended = (state.get("lastState") or {}).get("terminated") or {}
        detail = f"exit code {ended.get('exitCode', '?')}, {state.get('restartCount', 0)} restarts; {message}"
        fix = "Read the container's log; for PostgreSQL see whether POSTGRES_USER and POSTGRES_PASSWORD are set"
        yield Diagnosis(Level.WARNING, subject, "The container keeps crashing", detail, fix, reason)


def _diagnose_configuration(subject: str, message: str, events: Sequence[Object]) -> Diagnosis:
    """Explain a variable that cannot be set: the Secret or its key is missing; the driver's event says why."""
    if "couldn't find key" in message:
        what = "The Secret lacks a key that the container needs"
        fix = "Add the key to secretObjects in the SecretProviderClass, or correct secretKeyRef"
        return Diagnosis(Level.ERROR, subject, what, message, fix, "SecretKeyMissing")
    if "not found" in message and (refusal := _find_refusal(message, events)):
        what = "The driver cannot make the Secret that the container needs"
        fix = "Mount the file that the message names, or correct its objectName in the class's secretObjects"
        return Diagnosis(Level.ERROR, subject, what, refusal, fix, _NOT_CREATED)
    if "not found" in message:
        what = "The Secret that the container needs does not exist yet"
        fix = (
            "The driver makes it shortly after the first mount: if it stays away, compare secretName in the "
            "SecretProviderClass with secretKeyRef and see the pod's events"
        )
        return Diagnosis(Level.WARNING, subject, what, message, fix, "SecretMissing")
    fix = "Correct what the message names"
    return Diagnosis(Level.ERROR, subject, "The container cannot be set up", message, fix, _Reason.CONFIG.value)


def _find_refusal(message: str, events: Sequence[Object]) -> str:
    """Return the driver's last event about a Secret that it cannot make, by the message that the Secret is missing."""
    name = message.partition('secret "')[2].partition('"')[0]
    refusals = [event.get("message", "") for event in events if event.get("reason") == _NOT_CREATED]
    return next((text for text in reversed(refusals) if f" for secret {name}, " in text), "")


def _diagnose_image(subject: str, image: str, reason: str, message: str, events: Sequence[Object]) -> Diagnosis:
    """Explain an image that cannot be pulled; the reason behind a back-off is in an event."""
    pulls = [event.get("message", "") for event in events if event.get("reason") == "Failed"]
    detail = next((text for text in reversed(pulls) if text.startswith("Failed to pull image")), message)
    absent = reason == _Reason.NAME or any(
        word in detail for word in ("not found", "does not exist", "InvalidImageName")
    )
    denied = any(word in detail for word in ("unauthorized", "authorization failed", "denied", "403 Forbidden"))
    level, what = Level.WARNING, "The image cannot be pulled"
    fix = "See whether the nodes can reach the registry"
    if denied:
        what, fix = "The registry denies access to the image", "Attach the registry to the cluster, or correct the name"
    elif absent:
        level, what = Level.ERROR, "The image does not exist"
        fix = "Correct its name and tag, or build and push it"
    return Diagnosis(level, subject, f"{what}: {image}", detail, fix, reason)


def _find_unscheduled(subject: str, status: Object) -> Iterator[Diagnosis]:
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("status") == "False":
            detail, code = str(condition.get("message") or ""), str(condition.get("reason") or "Unschedulable")
            fix = "See the nodes' free resources, their taints and the autoscaler's limit"
            yield Diagnosis(Level.WARNING, subject, "No node can take the pod", detail, fix, code)


def _find_unmounted(subject: str, events: Sequence[Object]) -> Iterator[Diagnosis]:
    """Explain the last failed mount."""
    failures = [event for event in events if event.get("reason") in ("FailedMount", "SecretRotationFailed")]
    if not failures:
        return
    message = str(failures[-1].get("message") or "")
    cause, code = explain_mount_failure(message)
    # every failed mount has these wrappers; the cause is behind the last of them
    detail = message.rsplit("rpc error: code = Unknown desc = ", 1)[-1]
    yield Diagnosis(cause.level, subject, cause.summary, detail, cause.fix, code)


def _describe_start(subject: str, states: Sequence[Object], events: Sequence[Object]) -> Diagnosis:
    """Say how far a pod is that merely needs time."""
    if _has_started(states):
        unready = [event.get("message", "") for event in events if event.get("reason") == "Unhealthy"]
        detail, fix = (
            unready[-1] if unready else "no readiness probe has failed",
            "If it lasts, read the container's log",
        )
        return Diagnosis(Level.INFO, subject, "The container runs and is not ready yet", detail, fix)
    warnings = [event.get("message", "") for event in events if event.get("type") == "Warning"]
    detail = warnings[-1] if warnings else "no warning among its events"
    return Diagnosis(Level.INFO, subject, "The pod is being started", detail, "Wait; if it lasts, see the node")


def _shorten(text: str) -> str:
    """Keep the beginning and the end, where the cause is."""
    text = " ".join(text.split())
    return text if len(text) <= DETAIL_LIMIT else f"{text[: DETAIL_LIMIT // 2]} ... {text[-DETAIL_LIMIT // 2 :]}"


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _has_started(states: Sequence[Object]) -> bool:
    return any("running" in (state.get("state") or {}) for state in states)


def _time_of(event: Object) -> str:
    """The time of an event's last occurrence, as text that sorts: old and new event APIs write different fields."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((time for time in times if time), event["metadata"].get("creationTimestamp") or "")
