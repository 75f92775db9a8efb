"""Why pods do not get ready, or a Service has no address: from their state and events to level, summary and fix.

Pure. The texts it recognises are those of the kubelet, the Secrets Store CSI driver and its Azure provider; what it
does not recognise is shown as it was seen.
https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/troubleshooting/
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from infra.errors import WorkloadUnhealthy
from infra.kubernetes.causes import DETAIL_LIMIT, MOUNT_CAUSES, Diagnosis, Level, matching, told
from infra.kubernetes.client import Object

__all__ = ["Diagnosis", "Level", "diagnose", "diagnose_deployment", "diagnose_service", "told", "unhealthy"]


class _Reason(StrEnum):
    """The kubelet's words for a container that does not run, by what they mean here."""

    CONFIG = "CreateContainerConfigError"
    PULL = "ErrImagePull"
    PULL_BACKOFF = "ImagePullBackOff"
    NAME = "InvalidImageName"
    CRASH = "CrashLoopBackOff"


def diagnose(pods: Sequence[Object], events: Iterable[Object]) -> list[Diagnosis]:
    """Explain why pods are not ready.

    Args:
        pods: a workload's pods; ready and terminating ones need no explanation.
        events: the namespace's events; those of other objects and of earlier pods are ignored.

    Returns:
        The causes, gravest first; empty when all pods are ready.
    """
    by_uid: dict[str, list[Object]] = {}
    for event in sorted(events, key=_time):
        by_uid.setdefault((event.get("involvedObject") or {}).get("uid") or "", []).append(event)
    found = [
        cause
        for pod in pods
        if not _is_ready(pod) and not pod["metadata"].get("deletionTimestamp")
        for cause in _pod(pod, by_uid.get(pod["metadata"]["uid"], []))
    ]
    return sorted(found, key=lambda cause: list(Level).index(cause.level))


def diagnose_deployment(deployment: Object) -> list[Diagnosis]:
    """Explain why a Deployment has no pods: its controller was refused, by a quota or an admission rule."""
    conditions = (deployment.get("status") or {}).get("conditions") or []
    return [
        Diagnosis(
            Level.WARNING,
            f"deployment {deployment['metadata']['name']}",
            "The pods cannot be created",
            str(condition.get("message") or "")[:DETAIL_LIMIT],
            "correct what the message names: a missing service account, a quota, an admission rule",
            str(condition.get("reason") or "ReplicaFailure"),
        )
        for condition in conditions
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
    ]


def unhealthy(name: str, found: Sequence[Diagnosis]) -> WorkloadUnhealthy:
    """Make the error that carries a diagnosis; its code and fix are those of the gravest cause."""
    first = found[0] if found else told("The pods are not ready", "no event and no container state", "wait longer")
    seen = "; ".join(dict.fromkeys(f"{item.subject}: {item.summary}: {item.detail}" for item in found))
    return WorkloadUnhealthy(first.summary, name=name, seen=seen or first.detail, fix=first.fix, code=first.code)


def diagnose_service(service: Object, events: Iterable[Object]) -> list[Diagnosis]:
    """Explain why a Service of type LoadBalancer has no address."""
    subject = f"service {service['metadata']['name']}"
    kind = service["spec"].get("type", "ClusterIP")
    if kind != "LoadBalancer":
        return [
            Diagnosis(
                Level.ERROR,
                subject,
                "The Service is not a load balancer",
                f"type {kind}",
                "give it the type LoadBalancer",
                "NotALoadBalancer",
            )
        ]
    uid = service["metadata"]["uid"]
    own = [event for event in sorted(events, key=_time) if (event.get("involvedObject") or {}).get("uid") == uid]
    failed = [event for event in own if event.get("type") == "Warning"]
    detail = failed[-1].get("message", "") if failed else "no address in its status, no warning among its events"
    fix = "see the cloud's quota of public addresses and the cluster identity's rights on the network"
    return [
        Diagnosis(
            Level.WARNING,
            subject,
            "The load balancer has no address",
            detail[:DETAIL_LIMIT],
            fix,
            failed[-1].get("reason", "") if failed else "NoAddress",
        )
    ]


def _pod(pod: Object, events: Sequence[Object]) -> Iterator[Diagnosis]:
    """Explain one pod: its containers' states first, then the events before any container could start."""
    subject, status = f"pod {pod['metadata']['name']}", pod.get("status") or {}
    states = status.get("containerStatuses") or []
    found = [cause for state in states for cause in _container(subject, state, events)]
    if not found and not _has_started(states):
        found = [*_unscheduled(subject, status), *_unmounted(subject, events)]
    if not found and status.get("phase") == "Failed":
        detail = str(status.get("message") or status.get("reason") or "no message")
        found = [told("The pod has failed", detail, "see its log", subject, Level.ERROR)]
    yield from found or [_waiting(subject, states, events)]


def _container(subject: str, state: Object, events: Sequence[Object]) -> Iterator[Diagnosis]:
    """Explain a container that waits for a reason that is worth telling."""
    waiting = (state.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason == _Reason.CONFIG:
        yield _configuration(subject, message)
    elif reason in (_Reason.PULL, _Reason.PULL_BACKOFF, _Reason.NAME):
        yield _image(subject, state.get("image", ""), reason, message, events)
    elif reason == _Reason.CRASH:
        ended = (state.get("lastState") or {}).get("terminated") or {}
        detail = f"exit code {ended.get('exitCode', '?')}, {state.get('restartCount', 0)} restarts; {message}"
        fix = "read the container's log; for PostgreSQL see whether POSTGRES_USER and POSTGRES_PASSWORD are set"
        yield Diagnosis(Level.WARNING, subject, "The container ends again and again", detail, fix, reason)


def _configuration(subject: str, message: str) -> Diagnosis:
    """Explain a variable that cannot be filled in: the Secret or its key is missing."""
    if "couldn't find key" in message:
        return Diagnosis(
            Level.ERROR,
            subject,
            "The Secret lacks a key that the container needs",
            message,
            "add the key to secretObjects in the SecretProviderClass, or correct secretKeyRef",
            "SecretKeyMissing",
        )
    if "not found" in message:
        return Diagnosis(
            Level.WARNING,
            subject,
            "The Secret that the container needs does not exist yet",
            message,
            "the driver makes it shortly after the first mount: if it stays away, compare secretName in the "
            "SecretProviderClass with secretKeyRef and see the pod's events",
            "SecretMissing",
        )
    fix = "correct what the message names"
    return Diagnosis(Level.ERROR, subject, "The container cannot be set up", message, fix, _Reason.CONFIG.value)


def _image(subject: str, image: str, reason: str, message: str, events: Sequence[Object]) -> Diagnosis:
    """Explain an image that cannot be pulled; the reason behind a back-off is in an event."""
    pulls = [event.get("message", "") for event in events if event.get("reason") == "Failed"]
    detail = next((text for text in reversed(pulls) if text.startswith("Failed to pull image")), message)
    absent = reason == _Reason.NAME or any(
        word in detail for word in ("not found", "does not exist", "InvalidImageName")
    )
    denied = any(word in detail for word in ("unauthorized", "authorization failed", "denied", "403 Forbidden"))
    level, summary = Level.WARNING, "The image cannot be pulled"
    fix = "see whether the registry can be reached from the nodes"
    if denied:
        summary, fix = "The registry refuses the image", "attach the registry to the cluster, or correct the name"
    elif absent:
        level, summary = Level.ERROR, "The image does not exist"
        fix = "correct its name and tag, or build and push it"
    return Diagnosis(level, subject, f"{summary}: {image}", detail[:DETAIL_LIMIT], fix, reason)


def _unscheduled(subject: str, status: Object) -> Iterator[Diagnosis]:
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("status") == "False":
            yield Diagnosis(
                Level.WARNING,
                subject,
                "No node takes the pod",
                str(condition.get("message") or "")[:DETAIL_LIMIT],
                "see the nodes' free resources, taints and the autoscaler's limit",
                str(condition.get("reason") or "Unschedulable"),
            )


def _unmounted(subject: str, events: Sequence[Object]) -> Iterator[Diagnosis]:
    """Explain the last failed mount, unless a later one was successful."""
    last = next(
        (event for event in reversed(events) if event.get("reason") in ("FailedMount", "SecretRotationFailed")), None
    )
    if last is None:
        return
    message = str(last.get("message") or "")
    cause = matching(MOUNT_CAUSES, message)
    code = cause.code or next(iter(cause.pattern.findall(message)), "FailedMount")
    yield Diagnosis(cause.level, subject, cause.summary, _shortened(message), cause.fix, code)


def _waiting(subject: str, states: Sequence[Object], events: Sequence[Object]) -> Diagnosis:
    """Say what a pod that simply takes its time is doing."""
    unready = [event.get("message", "") for event in events if event.get("reason") == "Unhealthy"]
    if _has_started(states):
        detail = unready[-1] if unready else "no readiness probe has failed"
        fix = "read the container's log if it stays so"
        return Diagnosis(Level.INFO, subject, "The container runs and is not ready yet", detail[:DETAIL_LIMIT], fix)
    warnings = [event.get("message", "") for event in events if event.get("type") == "Warning"]
    detail = warnings[-1] if warnings else "no warning among its events"
    return told("The pod is being started", detail, "wait; see the node if it stays so", subject)


def _shortened(message: str) -> str:
    """Drop the wrappers that every failed mount has, and keep the end, where the cause is."""
    inner = message.rsplit("rpc error: code = Unknown desc = ", 1)[-1]
    inner = " ".join(inner.split())
    return inner if len(inner) <= DETAIL_LIMIT else f"{inner[: DETAIL_LIMIT // 2]} ... {inner[-DETAIL_LIMIT // 2 :]}"


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _has_started(states: Sequence[Object]) -> bool:
    return any("running" in (state.get("state") or {}) for state in states)


def _time(event: Object) -> str:
    """The moment of an event's last occurrence, as text that sorts: old and new event APIs write different fields."""
    series = event.get("series") or {}
    moments = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((moment for moment in moments if moment), event["metadata"].get("creationTimestamp") or "")
