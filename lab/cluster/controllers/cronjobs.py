"""CronJobs: a Job at each time of a schedule, and as many ended Jobs as asked for.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/cronjob/cronjob_controllerv2.go
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from lab.cluster.client import CRON_JOBS, JOBS, Object
from lab.cluster.controllers.common import Context, condition, owned_by, terminating
from lab.cluster.controllers.jobs import has_ended
from lab.cluster.controllers.workloads import Workloads
from lab.cluster.events import timestamp
from lab.cluster.informer import Key, Queue, key_of

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class CronJobs:
    """The CronJob controller."""

    def __init__(self, context: Context) -> None:
        self._client, self._jobs = context.client, context.cache(JOBS)
        self._cron_jobs = Workloads(context, CRON_JOBS, "CronJob", "cronjob-controller")
        self.queue = Queue("cronjob", self._reconcile)
        self._cron_jobs.follow(self.queue, JOBS)

    async def _reconcile(self, key: Key) -> None:
        owner = self._cron_jobs.get(key)
        if owner is None or terminating(owner):
            return
        own = [job for job in self._jobs if owned_by(job, owner)]
        await self._forget(owner, own)
        running = self._find_started(owner, own)
        scheduled = None if owner["spec"].get("suspend") else self._find_due(owner)
        if scheduled and await self._may_start(owner, running):
            running.append(await self._start(owner, scheduled))
        await self._write_status(owner, running, scheduled)

    def _find_started(self, owner: Object, own: Sequence[Object]) -> list[Object]:
        """The Jobs at work that this controller started; one that somebody made by hand is not counted, but told of."""
        known = {entry["uid"] for entry in (owner.get("status") or {}).get("active") or []}
        at_work = [job for job in own if not has_ended(job)]
        for job in at_work:
            if job["metadata"]["uid"] not in known:
                text = f"Saw a job that the controller did not create or forgot: {job['metadata']['name']}"
                self._cron_jobs.warning(owner, "UnexpectedJob", text)
        return [job for job in at_work if job["metadata"]["uid"] in known]

    def _find_due(self, owner: Object) -> datetime | None:
        """The time of the schedule that has come and has no Job yet; the next one is waited for."""
        now, fields = datetime.now(UTC), _MACROS.get(owner["spec"]["schedule"], owner["spec"]["schedule"])
        zone = ZoneInfo(owner["spec"].get("timeZone") or "UTC")
        since = (owner.get("status") or {}).get("lastScheduleTime") or owner["metadata"]["creationTimestamp"]
        minute = now.replace(second=0, microsecond=0)
        self.queue.add_after(key_of(owner), (minute + timedelta(minutes=1) - now).total_seconds())
        is_new = minute > datetime.fromisoformat(since).replace(second=0, microsecond=0)
        return minute if is_new and is_time(fields, minute.astimezone(zone)) else None

    async def _may_start(self, owner: Object, running: list[Object]) -> bool:
        policy = owner["spec"]["concurrencyPolicy"]
        if policy == "Replace":
            for job in running:
                await self._delete(owner, job)
            running.clear()
        return policy != "Forbid" or not running

    async def _start(self, owner: Object, scheduled: datetime) -> Object:
        meta, template = owner["metadata"], json.loads(json.dumps(owner["spec"]["jobTemplate"]))
        annotations = {**(template["metadata"].get("annotations") or {}), _SCHEDULED: timestamp(scheduled)}
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": f"{meta['name']}-{int(scheduled.timestamp()) // 60}",
                "namespace": meta["namespace"],
                "labels": template["metadata"].get("labels") or {},
                "annotations": annotations,
                "ownerReferences": [self._cron_jobs.reference(owner)],
            },
            "spec": template["spec"],
        }
        created = await self._client.create(JOBS, body)
        self._jobs.take(created)
        self._cron_jobs.normal(owner, "SuccessfulCreate", f"Created job {created['metadata']['name']}")
        return created

    async def _forget(self, owner: Object, jobs: Sequence[Object]) -> None:
        """Keep only as many ended Jobs as asked for."""
        ended = sorted(filter(has_ended, jobs), key=lambda job: job["metadata"]["creationTimestamp"])
        for kind, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            same = [job for job in ended if condition(job, kind) is not None and not terminating(job)]
            for job in same[: max(len(same) - owner["spec"][field], 0)]:
                await self._delete(owner, job)

    async def _delete(self, owner: Object, job: Object) -> None:
        meta = job["metadata"]
        await self._client.delete(JOBS, meta["namespace"], meta["name"], uid=meta["uid"])
        self._cron_jobs.normal(owner, "SuccessfulDelete", f"Deleted job {meta['name']}")

    async def _write_status(self, owner: Object, running: Sequence[Object], scheduled: datetime | None) -> None:
        old = owner.get("status") or {}
        status = {name: value for name, value in old.items() if name != "active"}
        if running:
            status["active"] = [_reference(job) for job in running]
        if scheduled:
            status["lastScheduleTime"] = timestamp(scheduled)
        if [entry["uid"] for entry in old.get("active") or []] == [job["metadata"]["uid"] for job in running] and (
            not scheduled
        ):
            return
        await self._cron_jobs.write_status(owner, status)


def is_time(schedule: str, moment: datetime) -> bool:
    """Whether a schedule of five fields names this minute: if both kinds of day are given, one of them is enough."""
    numbers = (moment.minute, moment.hour, moment.day, moment.month, moment.isoweekday() % 7)
    fields = schedule.split()
    fits = [number in _expand(field, *bounds) for field, number, bounds in zip(fields, numbers, _BOUNDS, strict=True)]
    fits[4] = fits[4] or (numbers[4] == 0 and 7 in _expand(fields[4], 0, 7))
    days = fits[2] or fits[4] if "*" not in (fields[2][0], fields[4][0]) else fits[2] and fits[4]
    return fits[0] and fits[1] and days and fits[3]


def _expand(field: str, low: int, high: int) -> set[int]:
    numbers: set[int] = set()
    for part in field.split(","):
        spread, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if spread in ("*", "?") else spread).partition("-")
        end = int(last) if last else high if step else int(first)
        numbers |= set(range(int(first), end + 1, int(step or 1)))
    return numbers


def _reference(job: Object) -> Object:
    meta = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta["name"],
        "namespace": meta["namespace"],
        "resourceVersion": meta["resourceVersion"],
        "uid": meta["uid"],
    }
