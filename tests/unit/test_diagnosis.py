"""Why pods are not ready: each kind of pod state, explained by its containers' states and events."""

from pod_states import event, pod

from infra.errors import WorkloadUnhealthy
from infra.kubernetes.diagnosis import diagnose, diagnose_controller, diagnose_service, unhealthy
from infra.kubernetes.mount_failures import Level

MISSING_KEY = "couldn't find key NAME in Secret dexter/userpass"


def test_ready_and_terminating_pods_need_no_explanation() -> None:
    leaving = pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}, waiting={"reason": "ErrImagePull"})
    assert diagnose([pod(ready=True, running=True), leaving], []) == []


def test_a_key_that_the_secret_lacks_is_an_error_that_names_the_key() -> None:
    [found] = diagnose([pod(waiting={"reason": "CreateContainerConfigError", "message": MISSING_KEY})], [])
    assert (found.level, found.code) == (Level.ERROR, "SecretKeyMissing")
    assert found.detail == MISSING_KEY
    assert "secretObjects" in found.fix


def test_a_secret_that_does_not_exist_yet_may_still_come() -> None:
    message = 'secret "userpass" not found'
    [found] = diagnose([pod(waiting={"reason": "CreateContainerConfigError", "message": message})], [])
    assert (found.level, found.code) == (Level.WARNING, "SecretMissing")


def test_a_secret_that_the_driver_cannot_make_is_an_error_in_the_drivers_words() -> None:
    message = 'secret "userpass" not found'
    text = (
        "failed to get data in spc dexter/postgresql-kvname for secret {}, err: file matching objectName NAME not "
        "found in the pod"
    )
    waiting = pod(waiting={"reason": "CreateContainerConfigError", "message": message})
    refusals = [event("FailedToCreateSecret", text.format(name)) for name in ("userpass", "another")]
    [found] = diagnose([waiting], refusals)
    assert (found.level, found.code) == (Level.ERROR, "FailedToCreateSecret")
    assert found.detail == text.format("userpass")
    assert "secretObjects" in found.fix
    [other] = diagnose([waiting], refusals[1:])
    assert other.code == "SecretMissing", "another Secret that cannot be made explains nothing"


def test_an_unknown_image_is_explained_by_the_event_behind_the_back_off() -> None:
    text = 'Failed to pull image "nosuch:1": rpc error: code = NotFound desc = docker.io/library/nosuch:1: not found'
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nosuch:1"'}
    [found] = diagnose([pod(waiting=waiting, container={"image": "nosuch:1"})], [event("Failed", text)])
    assert (found.level, found.code) == (Level.ERROR, "ImagePullBackOff")
    assert found.summary == "The image does not exist: nosuch:1"
    assert found.detail == text


def test_a_registry_that_denies_access_is_not_an_image_that_does_not_exist() -> None:
    text = (
        'Failed to pull image "x/y:1": failed to authorize: pull access denied, repository does not exist '
        "or may require authorization: authorization failed"
    )
    [found] = diagnose([pod(waiting={"reason": "ErrImagePull", "message": text})], [])
    assert found.level is Level.WARNING
    assert "denies" in found.summary


def test_a_registry_that_cannot_be_reached_may_come_back() -> None:
    [found] = diagnose([pod(waiting={"reason": "ErrImagePull", "message": "dial tcp: i/o timeout"})], [])
    assert (found.level, found.summary) == (Level.WARNING, "The image cannot be pulled: postgres:14")


def test_an_invalid_image_name_is_an_error() -> None:
    [found] = diagnose([pod(waiting={"reason": "InvalidImageName", "message": "couldn't parse image name"})], [])
    assert (found.level, found.code) == (Level.ERROR, "InvalidImageName")


def test_a_crash_loop_shows_exit_code_and_restarts() -> None:
    ended = {"lastState": {"terminated": {"exitCode": 3}}, "restartCount": 5}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 40s"}
    [found] = diagnose([pod(waiting=waiting, container=ended)], [])
    assert found.code == "CrashLoopBackOff"
    assert found.detail == "exit code 3, 5 restarts; back-off 40s"


def test_a_pod_without_a_node_shows_the_schedulers_words() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: cpu"}
    [found] = diagnose([pod(status={"conditions": [condition]})], [])
    assert (found.summary, found.detail, found.code) == ("No node can take the pod", "0/1 nodes: cpu", "Unschedulable")


def test_a_container_that_runs_and_is_not_ready_shows_its_last_failed_probe() -> None:
    probes = [event("Unhealthy", "new", at="2026-01-01T00:00:09Z"), event("Unhealthy", "old")]
    [found] = diagnose([pod(running=True)], probes)
    assert (found.level, found.detail) == (Level.INFO, "new")


def test_a_pod_that_was_just_made_is_normal_so_far() -> None:
    [found] = diagnose([pod()], [])
    assert (found.level, found.summary) == (Level.INFO, "The pod is being started")


def test_events_of_an_earlier_pod_of_the_same_name_are_ignored() -> None:
    [found] = diagnose([pod()], [event("FailedMount", "ForbiddenByRbac", uid="another")])
    assert found.level is Level.INFO


def test_a_failed_mount_is_history_once_the_container_has_started() -> None:
    [found] = diagnose([pod(running=True)], [event("FailedMount", "ForbiddenByRbac")])
    assert found.level is Level.INFO


def test_the_most_serious_cause_comes_first_and_makes_the_error() -> None:
    slow = pod("db-1")
    broken = pod("db-2", uid="u2", waiting={"reason": "CreateContainerConfigError", "message": MISSING_KEY})
    error = unhealthy("db in dexter", diagnose([slow, broken], []))
    assert isinstance(error, WorkloadUnhealthy)
    assert error.code == "SecretKeyMissing"
    assert error.what == "The Secret lacks a key that the container needs"
    assert MISSING_KEY in error.seen
    assert "pod db-1" in error.seen


def deployment(*conditions: dict[str, str], **spec: object) -> dict[str, object]:
    return {"metadata": {"name": "db", "namespace": "dexter"}, "spec": spec, "status": {"conditions": conditions}}


def test_a_deployment_whose_pods_are_refused_shows_why() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    healthy = {"type": "Available", "status": "True"}
    [found] = diagnose_controller("deployment db", deployment(healthy, condition))
    assert (found.subject, found.code, found.detail) == ("deployment db", "FailedCreate", "exceeded quota")


def test_a_deployment_that_gave_its_rollout_up_shows_its_words() -> None:
    text = 'ReplicaSet "db-5f6d" has timed out progressing.'
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": text}
    [found] = diagnose_controller("deployment db", deployment(condition))
    assert (found.code, found.detail) == ("ProgressDeadlineExceeded", text)


def test_a_paused_deployment_says_so_and_how_it_is_resumed() -> None:
    progress = {"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused"}
    [found] = diagnose_controller("deployment db", deployment(progress, paused=True))
    assert (found.level, found.code, found.summary) == (Level.ERROR, "Paused", "The rollout is paused")
    assert found.fix == "Resume it: kubectl rollout resume deployment/db -n dexter"
    assert diagnose_controller("deployment db", deployment(paused=False)) == []


def test_a_load_balancer_without_address_shows_the_clouds_last_warning() -> None:
    service = {"metadata": {"name": "s", "uid": "s1"}, "spec": {"type": "LoadBalancer"}}
    warning = event("SyncLoadBalancerFailed", "PublicIPCountLimitReached", uid="s1")
    [found] = diagnose_service(service, [warning, event("Other", "not about it")])
    assert (found.code, found.detail) == ("SyncLoadBalancerFailed", "PublicIPCountLimitReached")


def test_a_load_balancer_without_address_and_warning_says_that_nothing_was_seen() -> None:
    [found] = diagnose_service({"metadata": {"name": "s", "uid": "s1"}, "spec": {"type": "LoadBalancer"}}, [])
    assert found.code == "NoAddress"


def test_a_service_of_another_type_never_gets_an_address() -> None:
    [found] = diagnose_service({"metadata": {"name": "s", "uid": "s1"}, "spec": {"type": "ClusterIP"}}, [])
    assert (found.level, found.code) == (Level.ERROR, "NotALoadBalancer")
