"""Which pods are a workload's, by selector, owner and phase."""

import pytest

from infra.kubernetes.ownership import find_controller, translate_selector

LABELS = {"app": "db", "a.example/tier": "back"}
EXPRESSIONS = [
    {"key": "tier", "operator": "In", "values": ["back", "front"]},
    {"key": "track", "operator": "NotIn", "values": ["canary"]},
    {"key": "app", "operator": "Exists"},
    {"key": "job-name", "operator": "DoesNotExist"},
]


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": LABELS}, "a.example/tier=back,app=db"),
        ({"matchExpressions": EXPRESSIONS}, "tier in (back,front),track notin (canary),app,!job-name"),
        ({"matchLabels": {"app": "db"}, "matchExpressions": EXPRESSIONS[:1]}, "app=db,tier in (back,front)"),
    ],
    ids=["labels", "expressions", "both"],
)
def test_a_selector_is_translated_whole(selector: dict[str, object], text: str) -> None:
    assert translate_selector(selector) == text


def test_of_several_owners_the_controller_counts() -> None:
    controller = {"kind": "ReplicaSet", "name": "db-5f6d", "uid": "u2", "controller": True}
    owners = [{"kind": "Lease", "name": "x", "uid": "u1"}, controller]
    assert find_controller({"metadata": {"ownerReferences": owners}}) == controller
    assert find_controller({"metadata": {}}) == {}
