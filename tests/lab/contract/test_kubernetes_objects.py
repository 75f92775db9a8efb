"""Objects: creating, reading, replacing and deleting them, with the codes and reasons of a real API server."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from kubernetes_world import KubernetesWorld, Space, config_map, deployment


def test_a_created_object_has_what_only_the_server_gives(space: Space) -> None:
    made = space.api.create(space.path("configmaps"), config_map("one", a="b"))
    meta = made["metadata"]
    assert (made["kind"], made["apiVersion"], made["data"]) == ("ConfigMap", "v1", {"a": "b"})
    assert meta["uid"] and meta["resourceVersion"] and meta["creationTimestamp"].endswith("Z")
    assert meta["namespace"] == space.name
    assert space.api.get(space.path("configmaps", "one")) == made


def test_a_taken_name_is_already_exists(space: Space) -> None:
    space.api.create(space.path("configmaps"), config_map("one"))
    again = space.api("POST", space.path("configmaps"), config_map("one"))
    assert (again.code, again.reason, again.message) == (409, "AlreadyExists", 'configmaps "one" already exists')


def test_a_missing_object_is_not_found(space: Space) -> None:
    answer = space.api("GET", space.apps("deployments", "none"))
    assert (answer.code, answer.reason) == (404, "NotFound")
    assert answer.message == 'deployments.apps "none" not found'
    assert answer.body["details"] == {"name": "none", "group": "apps", "kind": "deployments"}


def test_a_missing_namespace_takes_nothing(kubernetes: KubernetesWorld) -> None:
    answer = kubernetes.api("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("one"))
    assert (answer.code, answer.reason, answer.message) == (404, "NotFound", 'namespaces "nowhere" not found')


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/unknown", 404),
        ("GET", "/apis/unknown.io/v1/things", 404),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("POST", "/api/v1/namespaces/default/configmaps/one", 405),
    ],
)
def test_what_is_not_served_is_refused(kubernetes: KubernetesWorld, method: str, path: str, code: int) -> None:
    assert kubernetes.api(method, path, None if method == "GET" else config_map("one")).code == code


def test_generate_name_appends_five_letters(space: Space) -> None:
    body = {"metadata": {"generateName": "made-"}}
    names = {space.api.create(space.path("configmaps"), body)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("made-") and len(name) == 10 for name in names)


def test_replacing_with_an_old_version_is_a_conflict_and_changes_nothing(space: Space) -> None:
    old = space.api.create(space.path("configmaps"), config_map("one", a="1"))
    space.api.patch(space.path("configmaps", "one"), {"data": {"a": "2"}})
    old["data"] = {"a": "3"}
    answer = space.api("PUT", space.path("configmaps", "one"), old)
    assert (answer.code, answer.reason) == (409, "Conflict")
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "one": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert space.api.get(space.path("configmaps", "one"))["data"] == {"a": "2"}


def test_a_write_without_effect_keeps_the_version(space: Space) -> None:
    made = space.api.create(space.path("configmaps"), config_map("one", a="1"))
    same = space.api.patch(space.path("configmaps", "one"), {"data": {"a": "1"}})
    assert same.body["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_parallel_writers_lose_no_increment(space: Space) -> None:
    path = space.path("configmaps", "counter")
    space.api.create(space.path("configmaps"), config_map("counter", n="0"))

    def increment(_: int) -> None:
        while True:
            obj = space.api.get(path)
            obj["data"]["n"] = str(int(obj["data"]["n"]) + 1)
            if space.api("PUT", path, obj).code == 200:
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(100)))
    assert space.api.get(path)["data"]["n"] == "100"


def test_a_dry_run_answers_and_stores_nothing(space: Space) -> None:
    answer = space.api("POST", space.path("configmaps") + "?dryRun=All", config_map("one"))
    assert (answer.code, answer.body["metadata"]["name"]) == (201, "one")
    assert space.api("GET", space.path("configmaps", "one")).code == 404


def test_the_name_in_the_body_must_be_the_one_in_the_address(space: Space) -> None:
    space.api.create(space.path("configmaps"), config_map("one"))
    answer = space.api("PUT", space.path("configmaps", "one"), config_map("other"))
    assert (answer.code, answer.reason) == (400, "BadRequest")
    assert answer.message == "the name of the object (other) does not match the name on the URL (one)"


def test_status_and_spec_do_not_change_each_other(space: Space) -> None:
    space.api.create(space.apps("deployments"), deployment("web", paused=True))
    path = space.apps("deployments", "web")
    by_status = space.api.patch(path + "/status", {"spec": {"replicas": 5}, "status": {"collisionCount": 7}}).body
    assert (by_status["spec"]["replicas"], by_status["status"]["collisionCount"]) == (0, 7)
    by_spec = space.api.patch(path, {"spec": {"minReadySeconds": 3}, "status": {"collisionCount": 9}}).body
    assert (by_spec["spec"]["minReadySeconds"], by_spec["status"]["collisionCount"]) == (3, 7)


def test_generation_counts_changes_of_spec_alone(space: Space) -> None:
    made = space.api.create(space.apps("deployments"), deployment("web"))
    path = space.apps("deployments", "web")
    assert made["metadata"]["generation"] == 1
    labelled = space.api.patch(path, {"metadata": {"labels": {"a": "b"}}}).body
    assert labelled["metadata"]["generation"] == 1
    scaled = space.api.patch(path, {"spec": {"minReadySeconds": 1}}).body
    assert scaled["metadata"]["generation"] == 2


def test_scale_reads_and_writes_replicas(space: Space) -> None:
    space.api.create(space.apps("deployments"), deployment("web", paused=True))
    path = space.apps("deployments", "web") + "/scale"
    scale = space.api.get(path)
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {})
    assert scale["status"]["selector"] == "app=web"
    assert space.api.patch(path, {"spec": {"replicas": 2}}).body["spec"] == {"replicas": 2}
    assert space.api.get(space.apps("deployments", "web"))["spec"]["replicas"] == 2


def test_a_delete_answers_with_the_uid_of_what_it_deleted(space: Space) -> None:
    made = space.api.create(space.path("secrets"), {"metadata": {"name": "one"}})
    answer = space.api("DELETE", space.path("secrets", "one"))
    assert (answer.code, answer.body["status"]) == (200, "Success")
    assert answer.body["details"] == {"name": "one", "kind": "secrets", "uid": made["metadata"]["uid"]}
    assert space.api("DELETE", space.path("secrets", "one")).code == 404


def test_a_delete_whose_precondition_fails_deletes_nothing(space: Space) -> None:
    space.api.create(space.path("secrets"), {"metadata": {"name": "one"}})
    answer = space.api("DELETE", space.path("secrets", "one"), {"preconditions": {"uid": "other"}})
    assert (answer.code, answer.reason) == (409, "Conflict")
    assert "the UID in the precondition (other) does not match the UID in record" in answer.message
    assert space.api("GET", space.path("secrets", "one")).code == 200


def test_finalizers_keep_an_object_until_they_are_gone(space: Space) -> None:
    body = config_map("one")
    body["metadata"]["finalizers"] = ["example.com/wait"]
    space.api.create(space.path("configmaps"), body)
    path = space.path("configmaps", "one")
    assert "deletionTimestamp" in space.api("DELETE", path).body["metadata"]
    added = space.api.patch(path, {"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}})
    assert (added.code, added.reason, added.causes[0]) == (
        422,
        "Invalid",
        ("FieldValueForbidden", "metadata.finalizers"),
    )
    assert space.api.patch(path, {"metadata": {"finalizers": None}}).code == 200
    assert space.api("GET", path).code == 404


def test_a_collection_is_deleted_by_its_labels(space: Space) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        space.api.create(space.path("configmaps"), config_map(name, {"set": label}))
    answer = space.api("DELETE", space.path("configmaps") + "?labelSelector=set%3Dx")
    assert answer.code == 200
    left = space.api.get(space.path("configmaps") + "?labelSelector=set")
    assert [item["metadata"]["name"] for item in left["items"]] == ["c"]


def test_pods_are_deleted_gracefully_once_a_node_has_them(space: Space) -> None:
    pod = {"metadata": {"name": "one"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}}
    space.api.create(space.path("pods"), pod)
    path = space.path("pods", "one")
    first = space.api("DELETE", path, {"gracePeriodSeconds": 20}).body["metadata"]
    assert first["deletionGracePeriodSeconds"] == 20
    assert space.api("DELETE", path, {"gracePeriodSeconds": 5}).body["metadata"]["deletionGracePeriodSeconds"] == 5
    assert space.api("DELETE", path, {"gracePeriodSeconds": 0}).code == 200
    assert space.api("GET", path).code == 404


def test_an_eviction_deletes_the_pod(space: Space) -> None:
    pod = {"metadata": {"name": "one"}, "spec": {"schedulerName": "none", "containers": [{"name": "c", "image": "i"}]}}
    space.api.create(space.path("pods"), pod)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one", "namespace": space.name}}
    assert space.api("POST", space.path("pods", "one") + "/eviction", eviction).code == 201
    assert space.api("GET", space.path("pods", "one")).code == 404


def test_a_binding_assigns_a_pod_once(space: Space) -> None:
    pod = {"metadata": {"name": "one"}, "spec": {"schedulerName": "none", "containers": [{"name": "c", "image": "i"}]}}
    space.api.create(space.path("pods"), pod)
    binding = {"metadata": {"name": "one"}, "target": {"kind": "Node", "name": "n1"}}
    path = space.path("pods", "one")
    assert space.api("POST", path + "/binding", binding).code == 201
    assert space.api.get(path)["spec"]["nodeName"] == "n1"
    again = space.api("POST", path + "/binding", binding)
    assert (again.code, again.reason) == (409, "Conflict")
    assert again.message.endswith('pod one is already assigned to node "n1"')


def test_the_default_namespace_cannot_be_deleted(kubernetes: KubernetesWorld) -> None:
    answer = kubernetes.api("DELETE", "/api/v1/namespaces/default")
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert answer.message == 'namespaces "default" is forbidden: this namespace may not be deleted'


def test_an_update_recreates_a_deleted_lease_unless_it_names_its_uid(space: Space) -> None:
    leases = space.path("leases", group="apis/coordination.k8s.io/v1")
    made = space.api.create(leases, {"metadata": {"name": "lock"}, "spec": {"holderIdentity": "one"}})
    path = f"{leases}/lock"
    assert space.api("DELETE", path).code == 200
    refused = space.api("PUT", path, made)
    assert (refused.code, refused.reason) == (409, "Conflict")
    assert f"Precondition failed: UID in precondition: {made['metadata']['uid']}" in refused.message
    assert space.api("GET", path).code == 404
    made["metadata"].pop("uid")
    assert space.api("PUT", path, made).code == 201
    assert space.api.get(path)["spec"] == {"holderIdentity": "one"}


def test_an_annotation_of_a_deployment_counts_as_a_generation(space: Space) -> None:
    made = space.api.create(space.apps("deployments"), deployment("web", paused=True))
    before = made["metadata"]["generation"]
    changed = space.api.patch(space.apps("deployments", "web"), {"metadata": {"annotations": {"seen": "yes"}}})
    assert changed.body["metadata"]["generation"] > before
    stays = space.api.patch(space.apps("deployments", "web"), {"metadata": {"labels": {"seen": "yes"}}})
    assert stays.body["metadata"]["generation"] == changed.body["metadata"]["generation"]
