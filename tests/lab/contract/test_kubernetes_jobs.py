"""Jobs and CronJobs: which pods and Jobs their controllers make, when they end, what they report.

No node takes part: the tests say themselves how pods end.
"""

from typing import Any

from kubernetes_world import STRATEGIC, Json, Space

from testing.waiting import eventually

CONTAINER = {"name": "report", "image": "report:1"}
UID, NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"


def template(**pod: Any) -> Json:
    spec = {"containers": [CONTAINER], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, **pod}
    return {"metadata": {"labels": {"app": "report"}}, "spec": spec}


def batch(space: Space, plural: str, name: str = "") -> str:
    return space.path(plural, name, "apis/batch/v1")


def create_job(space: Space, **spec: Any) -> Json:
    item = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "report"}}
    return space.api.create(batch(space, "jobs"), item | {"spec": {"template": template(), **spec}})


def create_cron_job(space: Space, **spec: Any) -> Json:
    body = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template()}}, **spec}
    item = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report"}, "spec": body}
    return space.api.create(batch(space, "cronjobs"), item)


def pods(space: Space) -> list[Json]:
    items = space.api.get(space.path("pods"))["items"]
    return [item for item in items if not item["metadata"].get("deletionTimestamp")]


def end(space: Space, pod: Json, phase: str) -> None:
    path = space.path("pods", pod["metadata"]["name"]) + "/status"
    assert space.api.patch(path, {"status": {"phase": phase}}, STRATEGIC).code == 200


def conditions(space: Space) -> list[str]:
    found = space.api.get(batch(space, "jobs", "report"))["status"].get("conditions") or []
    return [condition["type"] for condition in found if condition["status"] == "True"]


def test_a_job_selects_its_own_pods_by_its_uid(space: Space) -> None:
    made = create_job(space)
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {UID: uid}}
    eventually(lambda: len(pods(space)) == 1)
    (pod,) = pods(space)
    expected = {"app": "report", UID: uid, NAME: "report", "controller-uid": uid, "job-name": "report"}
    assert pod["metadata"]["labels"] == expected
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Job", uid, True)
    eventually(lambda: space.api.get(batch(space, "jobs", "report"))["status"].get("active") == 1)


def test_a_job_is_complete_when_its_pod_has_succeeded(space: Space) -> None:
    create_job(space)
    eventually(lambda: len(pods(space)) == 1)
    assert not conditions(space)
    end(space, pods(space)[0], "Succeeded")
    eventually(lambda: set(conditions(space)) == {"Complete", "SuccessCriteriaMet"})
    status = space.api.get(batch(space, "jobs", "report"))["status"]
    assert (status["succeeded"], status.get("active", 0)) == (1, 0)
    assert status["startTime"] <= status["completionTime"]


def test_a_job_has_failed_when_too_many_pods_have(space: Space) -> None:
    create_job(space, backoffLimit=0)
    eventually(lambda: len(pods(space)) == 1)
    end(space, pods(space)[0], "Failed")
    eventually(lambda: set(conditions(space)) == {"Failed", "FailureTarget"})
    assert len(pods(space)) == 1


def test_a_suspended_job_has_no_pods_until_it_is_resumed(space: Space) -> None:
    create_job(space, suspend=True)
    eventually(lambda: conditions(space) == ["Suspended"])
    assert pods(space) == []
    assert space.api.patch(batch(space, "jobs", "report"), {"spec": {"suspend": False}}).code == 200
    eventually(lambda: len(pods(space)) == 1)


def test_the_template_of_a_job_never_changes_and_its_pods_end(space: Space) -> None:
    create_job(space, suspend=True)
    change = {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
    eventually(lambda: conditions(space) == ["Suspended"])
    assert space.api.patch(batch(space, "jobs", "report"), {"spec": {"suspend": False}}).code == 200
    eventually(lambda: len(pods(space)) == 1)
    answer = space.api.patch(batch(space, "jobs", "report"), change)
    assert (answer.code, answer.reason, answer.causes) == (422, "Invalid", [("FieldValueInvalid", "spec.template")])
    body = {"metadata": {"name": "other"}, "spec": {"template": template(restartPolicy="Always")}}
    refused = space.api("POST", batch(space, "jobs"), {"apiVersion": "batch/v1", "kind": "Job", **body})
    assert refused.causes == [("FieldValueRequired", "spec.template.spec.restartPolicy")]


def test_a_job_made_by_hand_from_a_cron_job_is_reported_and_not_counted_as_its_run(space: Space) -> None:
    made = create_cron_job(space, suspend=True)
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": made["metadata"]["uid"]}
    metadata = {"name": "report", "ownerReferences": [{**owner, "controller": True}]}
    space.api.create(batch(space, "jobs"), {"metadata": metadata, "spec": made["spec"]["jobTemplate"]["spec"]})
    eventually(lambda: len(pods(space)) == 1)
    query = "?fieldSelector=involvedObject.kind=CronJob,reason=UnexpectedJob"
    (event,) = eventually(lambda: space.api.get(space.path("events") + query)["items"])
    assert event["message"] == "Saw a job that the controller did not create or forgot: report"
    assert not space.api.get(batch(space, "cronjobs", "report"))["status"].get("active")
