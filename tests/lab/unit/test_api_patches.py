"""Merging objects: strategic patches, sets of fields and server-side apply, without a server."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.cluster.api.errors import ApiError
from lab.cluster.api.kinds.builtin import registry
from lab.cluster.api.patches.apply import Configuration, apply_configuration
from lab.cluster.api.patches.fields import compare, from_fields_v1, paths_of, spell, to_fields_v1
from lab.cluster.api.patches.merge import merge_patch
from lab.cluster.api.patches.ownership import Manager
from lab.cluster.api.patches.strategic import strategic_merge

PODS = registry().get("", "pods")
NOW = datetime(2024, 1, 1, tzinfo=UTC)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def pod(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "one"}, "spec": {"containers": list(containers)}}


@given(st.dictionaries(st.text(max_size=2), VALUES), st.dictionaries(st.text(max_size=2), VALUES))
def test_a_merge_patch_can_be_applied_twice(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


def test_ports_are_merged_by_number_and_arguments_are_replaced() -> None:
    live = pod({"name": "a", "args": ["1", "2"], "ports": [{"containerPort": 80, "name": "web"}]})
    patch = {"spec": {"containers": [{"name": "a", "args": ["3"], "ports": [{"containerPort": 81}]}]}}
    (container,) = strategic_merge(PODS.schema, live, patch)["spec"]["containers"]
    assert container["args"] == ["3"]
    assert {port["containerPort"] for port in container["ports"]} == {80, 81}


def test_a_patch_changes_nothing_in_place() -> None:
    live = pod({"name": "a", "env": [{"name": "X", "value": "1"}]})
    before = str(live)
    strategic_merge(PODS.schema, live, {"spec": {"containers": [{"name": "a", "env": [{"name": "X", "value": "2"}]}]}})
    assert str(live) == before


def test_an_unknown_directive_is_refused() -> None:
    with pytest.raises(ApiError) as error:
        strategic_merge(PODS.schema, {}, {"$patch": "explode"})
    assert (error.value.code, error.value.message) == (400, "Unknown patch type found: explode")


def test_fields_are_read_as_they_are_written() -> None:
    obj = pod({"name": "a", "image": "i", "ports": [{"containerPort": 80}]})
    obj["metadata"] |= {"labels": {"x": "y"}, "finalizers": ["f"]}
    paths = paths_of(PODS.schema, obj)
    assert from_fields_v1(to_fields_v1(paths)) == paths
    spelt = {spell(path) for path in paths}
    assert '.spec.containers[name="a"].ports[containerPort=80,protocol="TCP"].containerPort' in spelt
    assert '.metadata.finalizers[="f"]' in spelt
    assert ".metadata.name" not in spelt


def test_equal_objects_do_not_differ() -> None:
    obj = pod({"name": "a", "env": [{"name": "X", "value": "1"}]})
    assert not compare(PODS.schema, obj, pod({"name": "a", "env": [{"name": "X", "value": "1"}]}))


def test_a_changed_element_is_a_changed_field_of_it() -> None:
    before, after = pod({"name": "a", "image": "1"}), pod({"name": "a", "image": "2"}, {"name": "b", "image": "1"})
    found = compare(PODS.schema, before, after)
    assert {spell(path) for path in found.modified} == {'.spec.containers[name="a"].image'}
    assert '.spec.containers[name="b"]' in {spell(path) for path in found.added}
    assert not found.removed


def test_applied_elements_keep_their_order_among_those_of_others() -> None:
    live = pod({"name": "x"}, {"name": "a"}, {"name": "y"}, {"name": "b"})
    wanted = pod({"name": "b"}, {"name": "a"}) | {"kind": "Pod", "apiVersion": "v1"}
    result = apply_configuration(PODS, live, Configuration(wanted, Manager("me", "Apply")), NOW)
    assert [item["name"] for item in result["spec"]["containers"]] == ["x", "b", "a", "y"]


def test_applying_less_removes_what_only_this_manager_owned() -> None:
    me = Manager("me", "Apply")
    head = {"kind": "Pod", "apiVersion": "v1"}
    first = head | pod({"name": "a", "env": [{"name": "X", "value": "1"}]}, {"name": "b"})
    live = apply_configuration(PODS, {"metadata": {}}, Configuration(first, me), NOW)
    live["spec"]["containers"][0]["image"] = "set by somebody else"
    result = apply_configuration(PODS, live, Configuration(head | pod({"name": "a"}), me), NOW)
    assert result["spec"]["containers"] == [{"name": "a", "image": "set by somebody else"}]
