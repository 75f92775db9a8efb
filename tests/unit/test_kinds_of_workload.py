"""Each kind of workload has its own idea of rolled out, of its pods' volumes, and of what holds a restart back."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from pydantic import ValidationError

from infra.credentials import Consumer, WorkloadKind, WorkloadRef
from infra.credentials.consumers import SCALABLE
from infra.errors import Refused
from infra.kubernetes.argo_rollouts import find_restart_time
from infra.kubernetes.client import Cluster
from infra.kubernetes.diagnosis import diagnose_controller
from infra.kubernetes.pods import keeps_pgdata
from infra.kubernetes.rollouts import (
    Patience,
    Rollout,
    is_given_up,
    read_argo_rollout,
    read_daemon_set,
    read_deployment,
    read_stateful_set,
)
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from testing.walkthrough import DATABASE

DEPLOYMENT = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
STATEFUL_SET = DEPLOYMENT | {"currentReplicas": 2, "currentRevision": "db-1", "updateRevision": "db-1"}
DAEMON_SET = {
    "currentNumberScheduled": 2,
    "desiredNumberScheduled": 2,
    "updatedNumberScheduled": 2,
    "numberReady": 2,
    "numberAvailable": 2,
}
ARGO = {"phase": "Healthy", "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
READERS = {
    WorkloadKind.DEPLOYMENT: (read_deployment, {"replicas": 2}, DEPLOYMENT),
    WorkloadKind.STATEFUL_SET: (read_stateful_set, {"replicas": 2}, STATEFUL_SET),
    WorkloadKind.DAEMON_SET: (read_daemon_set, {}, DAEMON_SET),
}


def handle(kind: WorkloadKind) -> WorkloadHandle:
    return open_workload(cast(Cluster, None), WorkloadRef(kind=kind, namespace="orders", name="db"))


def item(kind: WorkloadKind, generation: int = 3, **status: Any) -> dict[str, Any]:
    _, spec, complete = READERS[kind]
    return {
        "metadata": {"generation": generation},
        "spec": spec,
        "status": {"observedGeneration": 3, **complete, **status},
    }


@pytest.mark.parametrize("kind", READERS)
def test_a_workload_is_rolled_out_when_all_wanted_pods_are_new_and_available(kind: WorkloadKind) -> None:
    read, _, complete = READERS[kind]
    assert read(item(kind)) == Rollout(2, 2, True, read(item(kind)).progress)
    assert not read(item(kind, generation=4)).is_complete, "its controller has not seen the spec yet"
    counts = {name for name, value in complete.items() if value == 2} - {"currentReplicas"}
    for name in counts:
        assert not read(item(kind, **{name: 1})).is_complete, name
    assert str(read(item(kind))) == "2 of 2 pods ready"


def test_a_stateful_set_with_a_pod_of_the_revision_before_is_not_rolled_out() -> None:
    """As between two pods of a rolling update: both are ready, and one is old."""
    between = item(WorkloadKind.STATEFUL_SET, updatedReplicas=1, currentReplicas=1, updateRevision="db-2")
    assert not read_stateful_set(between).is_complete


def test_a_daemon_set_that_fits_no_node_wants_no_pod() -> None:
    nowhere = dict.fromkeys(DAEMON_SET, 0)
    assert read_daemon_set(item(WorkloadKind.DAEMON_SET, **nowhere)) == Rollout(0, 0, True, "0")


def argo(status: dict[str, Any], generation: int = 3, **spec: Any) -> dict[str, Any]:
    """Return a Rollout of two pods whose controller has seen generation 3, which it says as a text."""
    whole = {"observedGeneration": "3", **ARGO, **status}
    return {"metadata": {"generation": generation}, "spec": {"replicas": 2, **spec}, "status": whole}


def test_an_argo_rollout_is_rolled_out_when_it_is_healthy_by_its_own_word() -> None:
    assert read_argo_rollout(argo({})) == Rollout(2, 2, True, " 2 2")
    assert not read_argo_rollout(argo({}, generation=4)).is_complete, "its controller has not seen the spec yet"
    assert not read_argo_rollout(argo({"observedGeneration": "58c975674b"})).is_complete, "a hash says nothing of it"
    for phase in ("Progressing", "Paused", "Degraded", ""):
        assert not read_argo_rollout(argo({"phase": phase})).is_complete, phase
    for name in ("updatedReplicas", "availableReplicas"):
        assert not read_argo_rollout(argo({name: 1})).is_complete, name
    assert read_argo_rollout(argo({}, replicas=None)).wanted == 1


def test_the_restart_of_an_argo_rollout_is_over_when_its_status_has_the_time_that_was_asked_for() -> None:
    asked = {"restartAt": "2026-01-01T00:00:02Z"}
    assert not read_argo_rollout(argo({}, **asked)).is_complete
    assert not read_argo_rollout(argo({"restartedAt": "2026-01-01T00:00:01Z"}, **asked)).is_complete
    assert read_argo_rollout(argo({"restartedAt": "2026-01-01T00:00:02Z"}, **asked)).is_complete


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [({"canary": {}}, 2), ({"blueGreen": {}}, 4), ({"canary": {"trafficRouting": {"nginx": {}}}}, 4)],
)
def test_the_pods_that_an_argo_rollout_keeps_of_the_update_before_are_expected(
    strategy: dict[str, Any], expected: int
) -> None:
    assert read_argo_rollout(argo({"replicas": 4}, strategy=strategy)).expected == expected


def test_an_argo_rollout_gives_up_as_a_deployment_does() -> None:
    late = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}
    assert is_given_up(argo(late))
    assert not is_given_up(argo(late, generation=4))


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        ({"pauseConditions": [{"reason": "CanaryPauseStep"}]}, "status.pauseConditions has CanaryPauseStep"),
        ({"abort": True}, "status.abort is true"),
    ],
)
def test_a_canary_between_two_steps_is_paused_and_the_fix_is_argos_command(status: dict[str, Any], seen: str) -> None:
    stopped = argo(status)
    stopped["metadata"]["namespace"] = "orders"
    (cause,) = diagnose_controller("rollout api", stopped)
    assert (cause.code, cause.detail) == ("Paused", f"{seen}, so new pods do not replace the old ones")
    assert cause.fix == "Resume it: kubectl argo rollouts promote api -n orders"


def test_a_restart_of_an_argo_rollout_is_later_than_every_pod_and_has_no_fraction_of_a_second() -> None:
    now, later = datetime(2026, 1, 1, 0, 0, 5, 700_000, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC)
    assert find_restart_time(now, []) == "2026-01-01T00:00:06Z"
    assert find_restart_time(now.replace(microsecond=0), [now.replace(microsecond=0)]) == "2026-01-01T00:00:06Z"
    assert find_restart_time(now, [later]) == "2026-01-01T00:00:10Z", "the clock here is behind the cluster's"


def test_a_workload_reference_to_anything_but_a_deployment_is_refused_by_name() -> None:
    elsewhere = argo({}, workloadRef={"apiVersion": "v1", "kind": "PodTemplate", "name": "api"})
    with pytest.raises(Refused) as caught:
        handle(WorkloadKind.ROLLOUT).template(elsewhere)
    assert (caught.value.code, caught.value.seen) == ("TemplateElsewhere", "workloadRef names the PodTemplate api")


@pytest.mark.parametrize(
    ("kind", "field"),
    [(WorkloadKind.STATEFUL_SET, "updatedReplicas"), (WorkloadKind.DAEMON_SET, "updatedNumberScheduled")],
)
def test_each_pod_that_is_replaced_makes_the_wait_longer(kind: WorkloadKind, field: str) -> None:
    read, now = READERS[kind][0], 0.0
    patience = Patience(10, lambda: now)
    patience.see(read(item(kind, **{field: 0})))
    now = 9
    patience.see(read(item(kind, **{field: 1})))
    assert patience.left() == 10
    now = 18
    patience.see(read(item(kind, **{field: 1})))
    assert patience.left() == 1


@pytest.mark.parametrize(
    ("kind", "strategy", "hold"),
    [
        (WorkloadKind.STATEFUL_SET, {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, ""),
        (WorkloadKind.STATEFUL_SET, {"type": "OnDelete"}, "updateStrategy.type is OnDelete"),
        (
            WorkloadKind.STATEFUL_SET,
            {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
            "updateStrategy.rollingUpdate.partition is 1",
        ),
        (WorkloadKind.DAEMON_SET, {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}, ""),
        (WorkloadKind.DAEMON_SET, {"type": "OnDelete"}, "updateStrategy.type is OnDelete"),
    ],
)
def test_a_strategy_that_does_not_replace_every_pod_holds_a_restart_back(
    kind: WorkloadKind, strategy: dict[str, Any], hold: str
) -> None:
    assert handle(kind).find_hold({"spec": {"updateStrategy": strategy}}) == hold


@pytest.mark.parametrize("path", ["/var/lib/postgresql/data", "/backups"])
def test_a_claim_of_a_stateful_set_keeps_the_databases_files_where_it_is_mounted_there(path: str) -> None:
    container = {"name": "db", "volumeMounts": [{"name": "data", "mountPath": path}]}
    spec = {"template": {"spec": {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]}}}
    assert not keeps_pgdata(handle(WorkloadKind.STATEFUL_SET).template({"spec": spec}))
    claimed = {**spec, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}
    template = handle(WorkloadKind.STATEFUL_SET).template({"spec": claimed})
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    assert template["spec"]["volumes"] == [claim], "it takes the place of a volume of its name"
    assert keeps_pgdata(template) is (path != "/backups")
    assert claimed["template"] == spec["template"], "what was read stays as it was"


@pytest.mark.parametrize("kind", [kind for kind in WorkloadKind if kind not in SCALABLE])
def test_the_database_itself_is_of_a_kind_that_can_be_scaled_to_0(kind: WorkloadKind) -> None:
    workload = {"kind": kind, "namespace": "orders", "name": "db"}
    fields = {"workload": workload, "delivery": DATABASE.delivery}
    assert Consumer.model_validate(fields).key == f"{kind.lower()} orders/db"
    with pytest.raises(ValidationError, match=f"a {kind} cannot be the database: mark a Deployment or a StatefulSet"):
        Consumer.model_validate({**fields, "is_database": True})


def test_pods_that_a_quota_refuses_are_explained_by_the_event_of_their_maker() -> None:
    workload = {"metadata": {"name": "db", "namespace": "orders", "uid": "u1"}, "spec": {}}
    event = {"reason": "FailedCreate", "metadata": {}, "involvedObject": {"uid": "u1"}}
    early, late = ({**event, "lastTimestamp": f"2026-01-01T00:0{number}:00Z"} for number in (1, 2))
    events = [{**late, "message": "exceeded quota: pods"}, {**early, "message": "no service account"}]
    (cause,) = diagnose_controller("statefulset db", workload, events)
    assert (cause.code, cause.summary, cause.detail) == (
        "FailedCreate",
        "The pods cannot be created",
        "exceeded quota: pods",
    )
    assert diagnose_controller("statefulset db", {**workload, "metadata": {"uid": "u2"}}, events) == []
