"""Jobs: pods until as many have succeeded as asked for, or too many have failed.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/job/job_controller.go
"""

from collections.abc import Sequence

from lab.cluster.client import JOBS, PODS, Object
from lab.cluster.controllers.common import Context, active, condition, ready, terminating
from lab.cluster.controllers.workloads import Pods, Workloads
from lab.cluster.events import timestamp
from lab.cluster.informer import Key, Queue

_TOO_MANY_FAILED = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_COMPLETED = ("CompletionsReached", "Reached expected number of succeeded pods")


class Jobs:
    """The Job controller."""

    def __init__(self, context: Context) -> None:
        self._jobs = Workloads(context, JOBS, "Job", "job-controller")
        self._pods = Pods(context, self._jobs)
        self.queue = Queue("job", self._reconcile)
        self._jobs.follow(self.queue, PODS)

    async def _reconcile(self, key: Key) -> None:
        job = self._jobs.get(key)
        if job is None or terminating(job) or has_ended(job):
            return
        try:
            await self._move(job, self._pods.of(job))
        finally:
            await self._write_status(job, self._pods.of(job))

    async def _move(self, job: Object, pods: Sequence[Object]) -> None:
        """Keep as many pods at work as may be; a Job that has ended or is suspended has none."""
        at_work = [pod for pod in pods if active(pod)]
        missing = wanted_pods(job, pods) - len(at_work)
        for pod in at_work[: max(-missing, 0)]:
            await self._pods.delete(job, pod)
        for _ in range(missing):
            await self._pods.create(job, job["spec"]["template"])

    async def _write_status(self, job: Object, pods: Sequence[Object]) -> None:
        status, old = status_of(job, pods), job.get("status") or {}
        if {name: value for name, value in status.items() if value} == {name: old[name] for name in old if old[name]}:
            return
        await self._jobs.write_status(job, status)
        for found in status["conditions"]:
            if found["type"] == "Complete":
                self._jobs.normal(job, "Completed", "Job completed")


def has_ended(job: Object) -> bool:
    """Whether a Job makes no further pods."""
    return any(condition(job, kind) is not None for kind in ("Complete", "Failed"))


def wanted_pods(job: Object, pods: Sequence[Object]) -> int:
    """How many pods shall be at work."""
    spec, succeeded, failed = job["spec"], _count(pods, "Succeeded"), _count(pods, "Failed")
    if spec.get("suspend") or failed > spec["backoffLimit"]:
        return 0
    if spec.get("completions") is None:
        return 0 if succeeded else int(spec["parallelism"])
    return int(min(spec["parallelism"], max(spec["completions"] - succeeded, 0)))


def status_of(job: Object, pods: Sequence[Object]) -> Object:
    """What the status says. A Job has ended when its last pod has."""
    spec, old, at_work = job["spec"], job.get("status") or {}, [pod for pod in pods if active(pod)]
    status: Object = {
        "active": len(at_work),
        "ready": sum(map(ready, at_work)),
        "terminating": sum(map(terminating, pods)),
        "succeeded": _count(pods, "Succeeded"),
        "failed": _count(pods, "Failed"),
        "uncountedTerminatedPods": {},
        "conditions": [],
    }
    if spec.get("suspend"):
        since = (condition(job, "Suspended") or {}).get("lastTransitionTime") or timestamp()
        status["conditions"] = [_entry("Suspended", ("JobSuspended", "Job suspended"), since)]
        return status
    status["startTime"] = old.get("startTime") or timestamp()
    if at_work or wanted_pods(job, pods):
        return status
    now = timestamp()
    if status["failed"] > spec["backoffLimit"]:
        status["conditions"] = [_entry(kind, _TOO_MANY_FAILED, now) for kind in ("FailureTarget", "Failed")]
    else:
        status["conditions"] = [_entry(kind, _COMPLETED, now) for kind in ("SuccessCriteriaMet", "Complete")]
        status["completionTime"] = now
    return status


def _entry(kind: str, text: tuple[str, str], now: str) -> Object:
    times = {"lastProbeTime": now, "lastTransitionTime": now}
    return {"type": kind, "status": "True", "reason": text[0], "message": text[1], **times}


def _count(pods: Sequence[Object], phase: str) -> int:
    return sum(pod.get("status", {}).get("phase") == phase for pod in pods)
