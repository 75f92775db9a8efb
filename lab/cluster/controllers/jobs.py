"""Jobs: pods until as many have succeeded as asked for, or too many have failed.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/job/job_controller.go
"""

from collections.abc import Sequence

from lab.cluster.client import JOBS, PODS, ApiError, Object
from lab.cluster.controllers.common import (
    Context,
    active,
    condition,
    controller_of,
    owned_by,
    owner_reference,
    ready,
    terminating,
)
from lab.cluster.events import timestamp
from lab.cluster.informer import Key, Queue, key_of

_TOO_MANY_FAILED = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_COMPLETED = ("CompletionsReached", "Reached expected number of succeeded pods")


class Jobs:
    """The Job controller."""

    def __init__(self, context: Context) -> None:
        self._client, self._jobs, self._pods = context.client, context.cache(JOBS), context.cache(PODS)
        self._recorder = context.recorder("job-controller")
        self.queue = Queue("job", self._reconcile)
        self._jobs.on_change(lambda obj: self.queue.add(key_of(obj)))
        self._pods.on_change(self._pod_changed)

    def _pod_changed(self, pod: Object) -> None:
        owner = controller_of(pod)
        if owner is not None and owner["kind"] == "Job":
            self.queue.add((pod["metadata"]["namespace"], owner["name"]))

    async def _reconcile(self, key: Key) -> None:
        job = self._jobs.get(*key)
        if job is None or terminating(job) or has_ended(job):
            return
        pods = [pod for pod in self._pods if owned_by(pod, job)]
        try:
            await self._move(job, pods)
        finally:
            await self._write_status(job, [pod for pod in self._pods if owned_by(pod, job)])

    async def _move(self, job: Object, pods: Sequence[Object]) -> None:
        """Keep as many pods at work as may be; a Job that has ended or is suspended has none."""
        at_work = [pod for pod in pods if active(pod)]
        missing = wanted_pods(job, pods) - len(at_work)
        for pod in at_work[: max(-missing, 0)]:
            meta = pod["metadata"]
            await self._client.delete(PODS, meta["namespace"], meta["name"], uid=meta["uid"])
            self._recorder.normal(_named(job), "SuccessfulDelete", f"Deleted pod: {meta['name']}")
        for _ in range(missing):
            await self._create_pod(job)

    async def _create_pod(self, job: Object) -> None:
        meta, template = job["metadata"], job["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "spec": template["spec"],
            "metadata": {
                "generateName": f"{meta['name']}-",
                "namespace": meta["namespace"],
                "labels": template.get("metadata", {}).get("labels") or {},
                "annotations": template.get("metadata", {}).get("annotations") or {},
                "ownerReferences": [owner_reference(job, "batch/v1", "Job")],
            },
        }
        try:
            created = await self._client.create(PODS, pod)
        except ApiError as error:
            self._recorder.warning(_named(job), "FailedCreate", f"Error creating: {error.message}")
            raise
        self._pods.take(created)
        self._recorder.normal(_named(job), "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")

    async def _write_status(self, job: Object, pods: Sequence[Object]) -> None:
        status, old = status_of(job, pods), job.get("status") or {}
        if {name: value for name, value in status.items() if value} == {name: old[name] for name in old if old[name]}:
            return
        new = {key: value for key, value in job.items() if key != "status"} | {"status": status}
        self._jobs.take(await self._client.replace(JOBS, new, "status"))
        for found in status["conditions"]:
            if found["type"] == "Complete":
                self._recorder.normal(_named(job), "Completed", "Job completed")


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


def _named(job: Object) -> Object:
    """With its kind, which lists leave out."""
    return {"apiVersion": "batch/v1", "kind": "Job", **job}
