"""Server-side apply: ownership of fields, conflicts, and what is removed when it is applied no more."""

from typing import Any

import pytest
from kubernetes_world import APPLY, STRATEGIC, Json, Space, config_map, deployment


def applied(name: str = "one", **data: str) -> Json:
    return config_map(name, **data)


def managers(obj: Json) -> set[tuple[str, str, str]]:
    """Name, operation and subresource of all who own fields, without the controllers."""
    entries = obj["metadata"].get("managedFields") or []
    found = {(item["manager"], item["operation"], item.get("subresource", "")) for item in entries}
    return {item for item in found if item[0] not in ("kube-controller-manager", "keyturn-lab")}


def owned(obj: Json, manager: str) -> Any:
    return next(item["fieldsV1"] for item in obj["metadata"]["managedFields"] if item["manager"] == manager)


def test_applying_creates_and_owns_what_was_applied(space: Space) -> None:
    answer = space.api.apply(space.path("configmaps", "one"), applied(a="1"), "me")
    assert (answer.code, answer.body["data"]) == (201, {"a": "1"})
    assert managers(answer.body) == {("me", "Apply", "")}
    assert owned(answer.body, "me") == {"f:data": {"f:a": {}}}


def test_applying_the_same_again_changes_nothing(space: Space) -> None:
    first = space.api.apply(space.path("configmaps", "one"), applied(a="1"), "me").body
    again = space.api.apply(space.path("configmaps", "one"), applied(a="1"), "me")
    assert again.code == 200
    assert again.body["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_field_of_another_applier_is_a_conflict(space: Space) -> None:
    path = space.path("configmaps", "one")
    space.api.apply(path, applied(a="1"), "me")
    answer = space.api.apply(path, applied(a="2"), "you")
    assert (answer.code, answer.reason) == (409, "Conflict")
    assert answer.message == 'Apply failed with 1 conflict: conflict with "me": .data.a'
    assert answer.causes == [("FieldManagerConflict", ".data.a")]
    assert space.api.get(path)["data"] == {"a": "1"}


def test_a_field_that_was_updated_since_is_a_conflict_with_its_updater(space: Space) -> None:
    path = space.path("configmaps", "one")
    space.api.apply(path, applied(a="1"), "me")
    space.api.patch(path, {"data": {"a": "2"}})
    answer = space.api.apply(path, applied(a="1"), "me")
    assert answer.code == 409
    assert answer.message == 'Apply failed with 1 conflict: conflict with "contract-test" using v1: .data.a'


def test_force_takes_the_field(space: Space) -> None:
    path = space.path("configmaps", "one")
    space.api.apply(path, applied(a="1", b="1"), "me")
    after = space.api.apply(path, applied(a="2"), "you", force=True).body
    assert after["data"] == {"a": "2", "b": "1"}
    assert owned(after, "me") == {"f:data": {"f:b": {}}}
    assert owned(after, "you") == {"f:data": {"f:a": {}}}


def test_equal_values_are_shared(space: Space) -> None:
    path = space.path("configmaps", "one")
    space.api.apply(path, applied(a="1"), "me")
    after = space.api.apply(path, applied(a="1"), "you").body
    assert owned(after, "me") == owned(after, "you") == {"f:data": {"f:a": {}}}


def test_what_is_applied_no_more_is_removed_unless_somebody_else_owns_it(space: Space) -> None:
    path = space.path("configmaps", "one")
    space.api.apply(path, applied(a="1", b="1", c="1"), "me")
    space.api.apply(path, applied(b="1"), "you")
    after = space.api.apply(path, applied(a="1"), "me").body
    assert after["data"] == {"a": "1", "b": "1"}


def test_elements_of_lists_are_owned_one_by_one(space: Space) -> None:
    path = space.apps("deployments", "web")
    space.api.apply(path, deployment("web"), "me")
    extra = {"name": "web", "env": [{"name": "B", "value": "2"}]}
    space.api.patch(path, {"spec": {"template": {"spec": {"containers": [extra]}}}}, STRATEGIC)
    wanted = deployment("web")
    wanted["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "C", "value": "3"}]
    after = space.api.apply(path, wanted, "me")
    assert after.code == 200, after
    env = {item["name"]: item["value"] for item in after.body["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env == {"B": "2", "C": "3"}


def test_replicas_that_were_scaled_are_a_conflict_with_the_scaler(space: Space) -> None:
    path = space.apps("deployments", "web")
    space.api.apply(path, deployment("web", paused=True), "me")
    space.api.patch(f"{path}/scale", {"spec": {"replicas": 1}})
    answer = space.api.apply(path, deployment("web", paused=True), "me")
    assert answer.message == (
        'Apply failed with 1 conflict: conflict with "contract-test" with subresource "scale" using apps/v1: '
        ".spec.replicas"
    )
    without = deployment("web", paused=True)
    del without["spec"]["replicas"]
    assert space.api.apply(path, without, "me").body["spec"]["replicas"] == 1


def test_status_is_applied_at_its_own_address(space: Space) -> None:
    path = space.apps("deployments", "web")
    space.api.apply(path, deployment("web", paused=True), "me")
    condition = {"type": "Extra", "status": "True", "reason": "r", "message": "m"}
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    answer = space.api.apply(path, wanted | {"status": {"conditions": [condition]}}, "judge", subresource="status")
    assert answer.code == 200, answer
    assert ("judge", "Apply", "status") in managers(answer.body)
    assert "Extra" in {item["type"] for item in answer.body["status"]["conditions"]}
    assert answer.body["spec"]["paused"] is True


def test_a_manager_must_be_named(space: Space) -> None:
    answer = space.api("PATCH", space.path("configmaps", "one"), applied(), content_type=APPLY)
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert answer.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )


def test_an_unknown_field_is_refused(space: Space) -> None:
    wanted = applied() | {"more": 1}
    answer = space.api.apply(space.path("configmaps", "one"), wanted, "me")
    assert answer.code == 500
    assert "v1, Kind=ConfigMap): .more: field not declared in schema" in answer.message
    assert space.api("GET", space.path("configmaps", "one")).code == 404


def test_managed_fields_cannot_be_applied(space: Space) -> None:
    wanted = applied()
    wanted["metadata"]["managedFields"] = []
    answer = space.api.apply(space.path("configmaps", "one"), wanted, "me")
    assert (answer.code, answer.message) == (400, "metadata.managedFields must be nil")


@pytest.mark.parametrize("force", [False, True])
def test_an_applied_yaml_is_read(space: Space, force: bool) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata:\n  day: '2024-01-01'\n"
    path = f"{space.path('configmaps', 'one')}?fieldManager=me&force={str(force).lower()}"
    answer = space.api("PATCH", path, text, content_type=APPLY)
    assert (answer.code, answer.body["data"]) == (201, {"day": "2024-01-01"})


def test_updates_own_what_they_change(space: Space) -> None:
    made = space.api.create(space.path("configmaps"), applied(a="1"))
    assert managers(made) == {("contract-test", "Update", "")}
    after = space.api.patch(f"{space.path('configmaps', 'one')}?fieldManager=other", {"data": {"b": "2"}}).body
    assert owned(after, "other") == {"f:data": {"f:b": {}}}
    assert owned(after, "contract-test") == {"f:data": {".": {}, "f:a": {}}}
