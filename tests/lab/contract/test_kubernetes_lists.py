"""Lists: selectors, pages and the revisions that they show."""

from urllib.parse import quote

import pytest
from kubernetes_world import Json, KubernetesWorld, Space, config_map


def names(listed: Json) -> list[str]:
    """The names in a list, without the one that every namespace starts with."""
    found = [item["metadata"]["name"] for item in listed["items"]]
    return [name for name in found if name != "kube-root-ca.crt"]


def test_a_list_has_a_kind_and_a_revision_and_its_items_have_no_kind(space: Space) -> None:
    made = space.api.create(space.path("configmaps"), config_map("one"))
    listed = space.api.get(space.path("configmaps"))
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert int(listed["metadata"]["resourceVersion"]) >= int(made["metadata"]["resourceVersion"])
    assert all("kind" not in item for item in listed["items"])


def test_an_empty_list_has_items(space: Space) -> None:
    assert space.api.get(space.path("persistentvolumeclaims"))["items"] == []


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=web", ["a", "b"]),
        ("tier!=web", ["c", "d"]),
        ("tier in (web,db),size=big", ["b", "c"]),
        ("tier notin (web)", ["c", "d"]),
        ("size", ["b", "c"]),
        ("!size,tier", ["a"]),
    ],
)
def test_labels_select(space: Space, selector: str, found: list[str]) -> None:
    for name, labels in (
        ("a", {"tier": "web"}),
        ("b", {"tier": "web", "size": "big"}),
        ("c", {"tier": "db", "size": "big"}),
        ("d", {}),
    ):
        space.api.create(space.path("configmaps"), config_map(name, labels))
    assert names(space.api.get(f"{space.path('configmaps')}?labelSelector={quote(selector)}")) == found


def test_fields_select(space: Space) -> None:
    for name, type_ in (("a", "Opaque"), ("b", "example.com/x")):
        space.api.create(space.path("secrets"), {"metadata": {"name": name}, "type": type_})
    by_name = space.api.get(f"{space.path('secrets')}?fieldSelector={quote('metadata.name=a')}")
    by_type = space.api.get(f"{space.path('secrets')}?fieldSelector={quote('type!=Opaque')}")
    assert (names(by_name), names(by_type)) == (["a"], ["b"])


def test_a_field_that_cannot_select_is_refused(space: Space) -> None:
    answer = space.api("GET", f"{space.path('secrets')}?fieldSelector={quote('spec.x=y')}")
    assert (answer.code, answer.reason, answer.message) == (400, "BadRequest", "field label not supported: spec.x")


def test_pages_show_the_moment_of_the_first(space: Space) -> None:
    for number in range(5):
        space.api.create(space.path("secrets"), {"metadata": {"name": f"s{number}"}})
    path = space.path("secrets") + "?limit=2"
    first = space.api.get(path)
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["s0", "s1"], 3)
    space.api("DELETE", space.path("secrets", "s3"))
    space.api.create(space.path("secrets"), {"metadata": {"name": "s5"}})
    second = space.api.get(f"{path}&continue={first['metadata']['continue']}")
    third = space.api.get(f"{path}&continue={second['metadata']['continue']}")
    assert (names(second), names(third)) == (["s2", "s3"], ["s4"])
    assert "continue" not in third["metadata"]


def test_a_list_can_show_an_earlier_revision(space: Space) -> None:
    made = space.api.create(space.path("secrets"), {"metadata": {"name": "one"}})
    space.api("DELETE", space.path("secrets", "one"))
    exact = f"?resourceVersion={made['metadata']['resourceVersion']}&resourceVersionMatch=Exact"
    assert names(space.api.get(space.path("secrets") + exact)) == ["one"]
    assert names(space.api.get(space.path("secrets"))) == []


def test_a_future_revision_is_not_waited_for_long(space: Space) -> None:
    answer = space.api("GET", space.path("secrets") + "?resourceVersion=99999999&resourceVersionMatch=NotOlderThan")
    assert (answer.code, answer.reason) == (504, "Timeout")
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_all_namespaces_are_listed_in_the_order_of_their_keys(kubernetes: KubernetesWorld) -> None:
    listed = kubernetes.api.get("/api/v1/namespaces?labelSelector=kubernetes.io/metadata.name")
    found = [item["metadata"]["name"] for item in listed["items"]]
    assert found == sorted(found)
    assert {"default", "kube-node-lease", "kube-public", "kube-system"} <= set(found)
