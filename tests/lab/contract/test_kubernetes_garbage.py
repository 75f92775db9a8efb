"""What goes by itself: dependents with their owners, pods with their Deployment, everything with its namespace."""

from kubernetes_world import Json, Space, config_map, deployment, template

from testing.waiting import eventually


def owned_by(owner: Json, name: str, blocking: bool = False) -> Json:
    reference = {key: owner[key] for key in ("apiVersion", "kind")}
    reference |= {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    body = config_map(name)
    body["metadata"]["ownerReferences"] = [reference | ({"blockOwnerDeletion": True} if blocking else {})]
    return body


def is_gone(space: Space, path: str) -> bool:
    return space.api("GET", path).code == 404


def test_a_dependent_goes_with_its_last_owner(space: Space) -> None:
    owners = [space.api.create(space.path("configmaps"), config_map(name)) for name in ("first", "second")]
    body = owned_by(owners[0], "child")
    body["metadata"]["ownerReferences"] += owned_by(owners[1], "child")["metadata"]["ownerReferences"]
    space.api.create(space.path("configmaps"), body)
    space.api("DELETE", space.path("configmaps", "first"))
    eventually(lambda: is_gone(space, space.path("configmaps", "first")))
    assert space.api("GET", space.path("configmaps", "child")).code == 200
    space.api("DELETE", space.path("configmaps", "second"))
    eventually(lambda: is_gone(space, space.path("configmaps", "child")))


def test_a_foreground_delete_waits_for_blocking_dependents(space: Space) -> None:
    owner = space.api.create(space.path("configmaps"), config_map("owner"))
    child = owned_by(owner, "child", blocking=True)
    child["metadata"]["finalizers"] = ["example.com/wait"]
    space.api.create(space.path("configmaps"), child)
    answer = space.api("DELETE", space.path("configmaps", "owner"), {"propagationPolicy": "Foreground"})
    assert answer.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    deleted = eventually(lambda: "deletionTimestamp" in space.api.get(space.path("configmaps", "child"))["metadata"])
    assert deleted
    assert space.api("GET", space.path("configmaps", "owner")).code == 200
    space.api.patch(space.path("configmaps", "child"), {"metadata": {"finalizers": None}})
    eventually(lambda: is_gone(space, space.path("configmaps", "owner")))


def test_an_orphan_stays_without_its_reference(space: Space) -> None:
    owner = space.api.create(space.path("configmaps"), config_map("owner"))
    space.api.create(space.path("configmaps"), owned_by(owner, "child"))
    space.api("DELETE", space.path("configmaps", "owner"), {"propagationPolicy": "Orphan"})
    eventually(lambda: is_gone(space, space.path("configmaps", "owner")))
    assert "ownerReferences" not in space.api.get(space.path("configmaps", "child"))["metadata"]


def test_replica_sets_and_pods_go_with_their_deployment(space: Space) -> None:
    wanted = deployment("web", replicas=1, template=template(schedulerName="none"))
    space.api.create(space.apps("deployments"), wanted)
    eventually(lambda: space.api.get(space.path("pods"))["items"])
    space.api("DELETE", space.apps("deployments", "web"), {"propagationPolicy": "Background"})
    assert eventually(lambda: not space.api.get(space.apps("replicasets"))["items"])
    assert eventually(lambda: not space.api.get(space.path("pods"))["items"])
    assert is_gone(space, space.apps("deployments", "web"))


def test_a_namespace_takes_everything_with_it_and_takes_nothing_new(space: Space) -> None:
    body = config_map("last")
    body["metadata"]["finalizers"] = ["example.com/wait"]
    space.api.create(space.path("configmaps"), body)
    space.api.create(space.path("secrets"), {"metadata": {"name": "one"}})
    answer = space.api("DELETE", f"/api/v1/namespaces/{space.name}")
    assert (answer.code, answer.body["status"]["phase"]) == (200, "Terminating")
    late = space.api("POST", space.path("secrets"), {"metadata": {"name": "late"}})
    assert (late.code, late.reason) == (403, "Forbidden")
    assert late.causes == [("NamespaceTerminating", "metadata.namespace")]
    eventually(lambda: is_gone(space, space.path("secrets", "one")))
    assert space.api("GET", f"/api/v1/namespaces/{space.name}").code == 200
    space.api.patch(space.path("configmaps", "last"), {"metadata": {"finalizers": None}})
    eventually(lambda: is_gone(space, f"/api/v1/namespaces/{space.name}"), seconds=30)


def test_a_custom_object_goes_with_its_owner(space: Space, widgets: str) -> None:
    owner = space.api.create(space.path("configmaps"), config_map("owner"))
    references = owned_by(owner, "x")["metadata"]["ownerReferences"]
    for meta in ({"name": "owned", "ownerReferences": references}, {"name": "free"}):
        space.api.create(widgets, {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta})
    space.api("DELETE", space.path("configmaps", "owner"))
    assert eventually(lambda: is_gone(space, f"{widgets}/owned"), seconds=60)
    assert space.api.get(f"{widgets}/free"), "what nobody owns stays"
