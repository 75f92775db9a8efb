"""Patches: merge, strategic merge and JSON patch."""

from typing import Any

import pytest
from kubernetes_world import JSON_PATCH, MERGE, STRATEGIC, Json, Space, config_map, deployment, template


@pytest.fixture
def web(space: Space) -> str:
    """The path of a Deployment with one container and no pods."""
    space.api.create(space.apps("deployments"), deployment("web"))
    return space.apps("deployments", "web")


def container(answer: Json) -> Json:
    found: Json = answer["spec"]["template"]["spec"]["containers"][0]
    return found


def strategic(space: Space, path: str, **spec: Any) -> Json:
    answer = space.api.patch(path, {"spec": {"template": {"spec": spec}}}, STRATEGIC)
    assert answer.code == 200, answer
    return dict(answer.body)


def test_a_merge_patch_sets_and_removes(space: Space) -> None:
    space.api.create(space.path("configmaps"), config_map("one", a="1", b="2"))
    answer = space.api.patch(space.path("configmaps", "one"), {"data": {"a": None, "c": "3"}}, MERGE)
    assert answer.body["data"] == {"b": "2", "c": "3"}


def test_a_merge_patch_replaces_lists(space: Space, web: str) -> None:
    containers = [{"name": "other", "image": "busybox:1"}]
    answer = space.api.patch(web, {"spec": {"template": {"spec": {"containers": containers}}}}, MERGE)
    assert [item["name"] for item in answer.body["spec"]["template"]["spec"]["containers"]] == ["other"]


def test_a_strategic_patch_merges_lists_by_their_key(space: Space, web: str) -> None:
    after = strategic(space, web, containers=[{"name": "web", "env": [{"name": "B", "value": "2"}]}])
    assert container(after)["image"] == "postgres:14"
    assert {item["name"]: item["value"] for item in container(after)["env"]} == {"A": "1", "B": "2"}


def test_a_strategic_patch_deletes_by_directive(space: Space, web: str) -> None:
    env = [{"name": "A", "$patch": "delete"}, {"name": "B", "value": "2"}]
    after = strategic(space, web, containers=[{"name": "web", "env": env}])
    assert container(after)["env"] == [{"name": "B", "value": "2"}]


def test_a_strategic_patch_replaces_by_directive(space: Space, web: str) -> None:
    containers = [{"$patch": "replace"}, {"name": "new", "image": "busybox:1"}]
    after = strategic(space, web, containers=containers)
    assert [item["name"] for item in after["spec"]["template"]["spec"]["containers"]] == ["new"]


def test_a_strategic_patch_orders_by_directive(space: Space, web: str) -> None:
    env = [{"name": "C", "value": "3"}, {"name": "B", "value": "2"}]
    order = [{"name": "C"}, {"name": "A"}, {"name": "B"}]
    after = strategic(space, web, containers=[{"name": "web", "env": env, "$setElementOrder/env": order}])
    assert [item["name"] for item in container(after)["env"]] == ["C", "A", "B"]


def test_a_strategic_patch_drops_keys_that_are_not_retained(space: Space, web: str) -> None:
    strategy = {"$retainKeys": ["type"], "type": "Recreate"}
    answer = space.api.patch(web, {"spec": {"strategy": strategy}}, STRATEGIC)
    assert answer.body["spec"]["strategy"] == {"type": "Recreate"}


def test_finalizers_are_merged_and_deleted_as_a_set(space: Space) -> None:
    body = config_map("one")
    body["metadata"]["finalizers"] = ["example.com/a", "example.com/b"]
    space.api.create(space.path("configmaps"), body)
    path = space.path("configmaps", "one")
    directive = {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}
    after = space.api.patch(path, {"metadata": directive}, STRATEGIC)
    assert after.body["metadata"]["finalizers"] == ["example.com/b"]
    space.api.patch(path, {"metadata": {"finalizers": None}})


def test_an_element_without_its_key_is_refused(space: Space, web: str) -> None:
    answer = space.api.patch(web, {"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}, STRATEGIC)
    assert answer.code in (400, 500)
    assert "does not contain declared merge key: name" in answer.message


def test_a_json_patch_edits_by_path(space: Space) -> None:
    space.api.create(space.path("configmaps"), config_map("one", a="1"))
    operations = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "2"},
        {"op": "add", "path": "/metadata/labels", "value": {"x~y": "z"}},
        {"op": "copy", "from": "/data/a", "path": "/data/b"},
    ]
    operations[2]["value"] = {"x": "z"}
    after = space.api.patch(space.path("configmaps", "one"), operations, JSON_PATCH).body
    assert (after["data"], after["metadata"]["labels"]) == ({"a": "2", "b": "2"}, {"x": "z"})


def test_a_json_patch_whose_test_fails_changes_nothing(space: Space) -> None:
    space.api.create(space.path("configmaps"), config_map("one", a="1"))
    operations = [{"op": "replace", "path": "/data/a", "value": "2"}, {"op": "test", "path": "/data/a", "value": "9"}]
    answer = space.api.patch(space.path("configmaps", "one"), operations, JSON_PATCH)
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert answer.message == "the server rejected our request due to an error in our request"
    assert space.api.get(space.path("configmaps", "one"))["data"] == {"a": "1"}


def test_a_patch_with_an_old_version_is_a_conflict(space: Space) -> None:
    space.api.create(space.path("configmaps"), config_map("one"))
    answer = space.api.patch(space.path("configmaps", "one"), {"metadata": {"resourceVersion": "1"}})
    assert (answer.code, answer.reason) == (409, "Conflict")


def test_an_unknown_patch_format_is_unsupported(space: Space) -> None:
    space.api.create(space.path("configmaps"), config_map("one"))
    answer = space.api.patch(space.path("configmaps", "one"), {}, "application/json")
    assert (answer.code, answer.reason) == (415, "UnsupportedMediaType")


def test_custom_kinds_have_no_strategic_patch(space: Space, widgets: str) -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1}}
    space.api.create(widgets, widget)
    assert space.api.patch(f"{widgets}/one", {"spec": {"size": 2}}, STRATEGIC).code == 415
    assert space.api.patch(f"{widgets}/one", {"spec": {"size": 2}}, MERGE).body["spec"]["size"] == 2


def test_a_pod_template_is_merged_with_its_volumes(space: Space, web: str) -> None:
    volumes = [{"name": "v", "emptyDir": {}}]
    strategic(space, web, volumes=volumes)
    after = strategic(space, web, volumes=[{"name": "v", "emptyDir": None, "secret": {"secretName": "s"}}])
    assert after["spec"]["template"]["spec"]["volumes"] == [
        {"name": "v", "secret": {"secretName": "s", "defaultMode": 420}}
    ]
    assert container(after)["name"] == template()["spec"]["containers"][0]["name"]
