"""What all kinds of workload share: what they are, stopping, starting and restarting them, waiting for them.

One write both acts and remembers: how many pods there were, and which rotation made the last restart, are
annotations of the workload, so a crash in between forgets nothing. `workloads.py` has the kinds.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from infra.credentials import WorkloadRef
from infra.errors import Code, NotFound, ServiceFailed, WorkloadUnhealthy
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.diagnosis import Diagnosis, diagnose, diagnose_controller, find_pause, unhealthy
from infra.kubernetes.mount_failures import Level
from infra.kubernetes.ownership import find_controller, is_finished, translate_selector
from infra.kubernetes.pods import PodFacts, Volume, keeps_pgdata, read_pods, read_volumes
from infra.kubernetes.rollouts import Patience, Rollout, is_given_up
from infra.kubernetes.waiting import Clock, OnProgress, Progress, Reporter, follow, follow_while, ignore

STOPPED_REPLICAS = "keyturn/stopped-replicas"
RESTARTED_FOR = "keyturn/restarted-for"
SECRET_VERSION = "keyturn/secret-version"  # noqa: S105
"""Annotation: the resourceVersion that the synced Secret had when the pods were last replaced.

The workload itself keeps it until somebody has checked what the Secret held since then.
"""


@dataclass(frozen=True)
class RestartFacts:
    """What a workload's annotations remember.

    Args:
        stopped_replicas: how many pods it had when it was stopped; None if it was not.
        restarted_for: the mark of the last start or restart.
        secret_version: the resourceVersion of the synced Secret that the last restart was made with, until somebody
            has checked what the Secret held since.
    """

    stopped_replicas: int | None = None
    restarted_for: str = ""
    secret_version: str = ""


@dataclass(frozen=True)
class Workload:
    """A workload at one moment.

    Args:
        replicas: how many pods it is scaled to.
        settled: whether its controller has acted on the spec, and exactly the wanted pods exist, new and ready.
        pods: its pods, terminating ones included, finished ones not.
        volumes: what its containers mount.
        keeps_pgdata: whether PostgreSQL's data outlives the pod.
        restart: what its annotations remember.
        paused: whether its rollout is paused: new pods never replace the old ones.
    """

    replicas: int
    settled: bool
    pods: tuple[PodFacts, ...]
    volumes: tuple[Volume, ...]
    keeps_pgdata: bool
    restart: RestartFacts
    paused: bool = False

    @property
    def live_pods(self) -> dict[str, str]:
        """Uid -> name of the pods that are not terminating."""
        return {pod.uid: pod.name for pod in self.pods if not pod.terminating}

    def find_sub_paths(self, source: str) -> tuple[Volume, ...]:
        """Return the mounts of a source by subPath: their files stay as they were when the pod started."""
        return tuple(volume for volume in self.volumes if volume.source == source and volume.sub_path)


class WorkloadHandle(ABC):
    """A workload of a cluster, by name.

    Args:
        cluster: where it is.
        ref: its kind, namespace and name.
    """

    collection: ClassVar[str]
    """The path of a namespace's workloads of this kind, with `{namespace}`."""
    makers: ClassVar[str] = ""
    """The path of the objects that make its pods for it, with `{namespace}`; empty: it makes them itself."""

    def __init__(self, cluster: Cluster, ref: WorkloadRef) -> None:
        self.cluster, self.ref = cluster, ref
        self._collection = self.collection.format(namespace=ref.namespace)
        self.path = f"{self._collection}/{ref.name}"
        self._pods, self._events = (f"/api/v1/namespaces/{ref.namespace}/{plural}" for plural in ("pods", "events"))
        self._label = f"{ref.name} in {ref.namespace}"

    @abstractmethod
    def read_rollout(self, item: Object) -> Rollout:
        """Say how far its controller is with its pods."""

    def find_owners(self, item: Object) -> Collection[str]:
        """Return the uids of what makes the workload's pods: its makers with the pods' labels, or itself."""
        uid = item["metadata"]["uid"]
        if not self.makers:
            return {uid}
        path = self.makers.format(namespace=self.ref.namespace)
        makers = self.cluster.get(path, labelSelector=self.select_pods(item))["items"]
        return frozenset(found["metadata"]["uid"] for found in makers if find_controller(found).get("uid") == uid)

    def select_pods(self, item: Object) -> str:
        """Return a selector that finds its pods, and maybe others."""
        return select(item)

    def template(self, item: Object) -> Object:
        """Return what its pods are made from, with all of their volumes."""
        template: Object = item["spec"]["template"]
        return template

    def find_hold(self, item: Object) -> str:
        """Say what in its update strategy keeps a restart from replacing every pod; empty: nothing."""
        return ""

    def unblock(self, item: Object) -> None:  # noqa: B027, most kinds need nothing
        """Do what a restart stands still without, at each look that finds the workload not ready."""

    def owns(self, pod: Object, owners: Collection[str]) -> bool:
        """Whether a pod is the workload's, given the uids of what makes its pods."""
        return find_controller(pod).get("uid") in owners

    def get(self) -> Workload:
        """Return the workload with its pods.

        Raises:
            NotFound: it does not exist.
        """
        item = self.cluster.get(self.path)
        return self._read(item, self._list_pods(item))

    def stop(self) -> None:
        """Scale to 0 and remember from how many, without waiting. Nothing happens if it is at 0.

        Raises:
            NotFound: it does not exist.
            Conflict: somebody else keeps changing it.
        """

        def scale(item: Object) -> Object | None:
            replicas = self.read_rollout(item).wanted
            return _scaled(0, {STOPPED_REPLICAS: str(replicas)}) if replicas else None

        self.cluster.change(self.path, scale)

    def start(self, mark: str, secret_version: str = "") -> int:
        """Scale to the remembered number of pods, 1 if there is none, and mark the start. Does not wait.

        Args:
            mark: the rotation that the start belongs to.
            secret_version: the resourceVersion of the synced Secret that the pods start with, if there is one.

        Returns:
            How many pods are wanted now.

        Raises:
            NotFound: it does not exist.
        """
        item = self.cluster.get(self.path)
        replicas, remembered = self.read_rollout(item).wanted, read_annotations(item)
        if replicas and remembered.restarted_for == mark:
            return replicas
        replicas = replicas or remembered.stopped_replicas or 1
        marks = {STOPPED_REPLICAS: None, RESTARTED_FOR: mark, SECRET_VERSION: secret_version or None}
        self.cluster.patch(self.path, _scaled(replicas, marks))
        return replicas

    def restart(self, mark: str, secret_version: str = "") -> None:
        """Replace the pods by the workload's own update strategy, and mark the restart. Does not wait.

        Repeating it with the same mark and the same version changes nothing: the pod template stays equal.

        Args:
            mark: the rotation that the restart belongs to.
            secret_version: the resourceVersion of the synced Secret that the new pods start with, if there is one.

        Raises:
            NotFound: it does not exist.
        """
        annotations = {"annotations": {RESTARTED_FOR: mark, SECRET_VERSION: secret_version or None}}
        self.cluster.patch(self.path, {"metadata": annotations, "spec": {"template": {"metadata": annotations}}})

    def mark_reloaded(self, mark: str) -> None:
        """Remember that its pods were told to re-read their files. The pods stay.

        Raises:
            NotFound: it does not exist.
        """
        self.cluster.patch(self.path, {"metadata": {"annotations": {RESTARTED_FOR: mark}}})

    def mark_start_checked(self) -> None:
        """Remember that what the Secret held since the last restart was checked. The pods stay.

        Raises:
            NotFound: it does not exist.
        """
        self.cluster.patch(self.path, {"metadata": {"annotations": {SECRET_VERSION: None}}})

    def wait_for_ready(
        self,
        timeout_seconds: float,
        on_progress: OnProgress = ignore,
        clock: Clock = time.monotonic,
        check: Callable[[], None] = lambda: None,
    ) -> Workload:
        """Wait until the workload has exactly the wanted pods, new and ready.

        Goes on while its controller reports progress; ends early if that gives up, or if the cause is permanent.
        Keeps waiting while the API server is away.

        Args:
            timeout_seconds: bound on the wait without progress; the whole wait is bounded by it times the pods.
            on_progress: called on each change, and every few seconds without one.
            clock: measures the timeout.
            check: called at every look that finds it not ready; what it raises ends the wait.

        Raises:
            NotFound: it does not exist.
            WorkloadUnhealthy: the pods did not get ready; says why and how to fix it.
        """
        reporter, causes, patience = Reporter(on_progress, clock), list[Diagnosis](), Patience(timeout_seconds, clock)
        query = {"fieldSelector": f"metadata.name={self.ref.name}"}
        for items, left in follow_while(self.cluster, self._collection, query, patience.left):
            item = next(iter(items.values()), None)
            if item is None:
                raise NotFound(f"The {self.ref.kind} does not exist", name=self._label, fix="Run the flow deploy")
            rollout = self.read_rollout(item)
            patience.see(rollout)
            try:
                workload, causes = self._inspect(item)
                if workload:
                    return workload
                self.unblock(item)
                check()
            except ServiceFailed as error:
                reporter.report(Progress(error.what, left))
                continue
            reporter.report(Progress(str(rollout) + (f"; {causes[0].summary}" if causes else ""), left))
            if is_given_up(item) or patience.is_lost(any(cause.level is Level.ERROR for cause in causes)):
                break
        raise unhealthy(self._label, causes)

    def wait_for_pods_gone(
        self,
        timeout_seconds: float,
        on_progress: OnProgress = ignore,
        clock: Clock = time.monotonic,
        *,
        terminating_only: bool = False,
    ) -> None:
        """Wait until no pod is left; with `terminating_only`, until no terminating pod is.

        Raises:
            NotFound: the workload does not exist.
            WorkloadUnhealthy: pods are left; names them (code PodsLeft).
        """
        item = self.cluster.get(self.path)
        reporter, seen = Reporter(on_progress, clock), ""
        query = {"labelSelector": self.select_pods(item)}
        for items, left in follow(self.cluster, self._pods, query, timeout_seconds, clock):
            try:
                own = self._pick_own(item, items.values())
            except ServiceFailed as error:
                reporter.report(Progress(error.what, left))
                continue
            pods = [pod for pod in read_pods(own) if pod.terminating or not terminating_only]
            if not pods:
                return
            seen = ", ".join(f"{pod.name} is {'terminating' if pod.terminating else 'running'}" for pod in pods)
            reporter.report(Progress(seen, left))
        raise WorkloadUnhealthy(Code.PODS_LEFT, name=self._label, seen=f"{seen} after {timeout_seconds:g} s")

    def _inspect(self, item: Object) -> tuple[Workload | None, list[Diagnosis]]:
        """Return the workload if it is settled, else what keeps it from settling, the most serious cause first."""
        pods = self._list_pods(item)
        workload = self._read(item, pods)
        if workload.settled:
            return workload, []
        events = self.cluster.get(self._events, fieldSelector="type=Warning")["items"]
        subject = f"{self.ref.kind.lower()} {self.ref.name}"
        refusals = events if len(pods) < workload.replicas else ()
        causes = [*diagnose(pods, events), *diagnose_controller(subject, item, refusals)]
        return None, sorted(causes, key=lambda cause: list(Level).index(cause.level))

    def _list_pods(self, item: Object) -> Sequence[Object]:
        return self._pick_own(item, self.cluster.get(self._pods, labelSelector=self.select_pods(item))["items"])

    def _pick_own(self, item: Object, pods: Iterable[Object]) -> Sequence[Object]:
        """Return those of the pods that count. Their owners are looked up after them, so none is too new."""
        left = [pod for pod in pods if not is_finished(pod)]
        owners = self.find_owners(item) if left else ()
        return [pod for pod in left if self.owns(pod, owners)]

    def _read(self, item: Object, pods: Sequence[Object]) -> Workload:
        facts, rollout, template = read_pods(pods), self.read_rollout(item), self.template(item)
        live = [pod for pod in facts if not pod.terminating]
        return Workload(
            replicas=rollout.wanted,
            settled=rollout.is_complete and len(live) == rollout.expected and all(pod.ready for pod in live),
            pods=facts,
            volumes=read_volumes(template),
            keeps_pgdata=keeps_pgdata(template),
            restart=read_annotations(item),
            paused=bool(find_pause(item)),
        )


def _scaled(replicas: int, annotations: Mapping[str, str | None]) -> Object:
    return {"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}}


def select(item: Object) -> str:
    """Return a workload's selector in the form that lists take."""
    return translate_selector(item["spec"]["selector"])


def read_annotations(item: Object) -> RestartFacts:
    """Read what the annotations of a workload, its pod template or a pod remember."""
    annotations = item["metadata"].get("annotations") or {}
    stopped = annotations.get(STOPPED_REPLICAS, "")
    return RestartFacts(
        int(stopped) if stopped.isdigit() else None,
        annotations.get(RESTARTED_FOR, ""),
        annotations.get(SECRET_VERSION, ""),
    )
