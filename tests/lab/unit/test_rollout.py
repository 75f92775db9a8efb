"""Rollouts of deployments: sizes that never leave the bounds, hashes, conditions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.cluster.controllers import rollout


def deployment(replicas: int, surge: Any = "25%", unavailable: Any = "25%") -> dict[str, Any]:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    return {"metadata": {"generation": 1}, "spec": {"replicas": replicas, "strategy": strategy}}


def replica_set(name: str, size: int, available: int, revision: int = 1) -> dict[str, Any]:
    meta = {"name": name, "annotations": {rollout.REVISION: str(revision)}}
    return {"metadata": meta, "spec": {"replicas": size}, "status": {"availableReplicas": available}}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "limits"),
    [
        (4, "25%", "25%", (1, 1)),
        (1, "25%", "25%", (1, 0)),
        (10, "25%", "25%", (3, 2)),
        (3, 2, 0, (2, 0)),
        (3, 0, 0, (0, 1)),
        (3, "0%", "10%", (0, 1)),
    ],
)
def test_surge_rounds_up_and_unavailable_down(replicas: int, surge: Any, unavailable: Any, limits: Any) -> None:
    assert rollout.limits(deployment(replicas, surge, unavailable)) == limits


@given(
    replicas=st.integers(0, 12),
    surge=st.integers(0, 4),
    unavailable=st.integers(0, 4),
    ready=st.randoms(use_true_random=False),
)
def test_a_rolling_update_ends_and_never_leaves_its_bounds(
    replicas: int, surge: int, unavailable: int, ready: Any
) -> None:
    wanted = deployment(replicas, surge, unavailable)
    most_over, most_missing = rollout.limits(wanted)
    sets = {"old": replica_set("old", replicas, replicas), "new": replica_set("new", 0, 0, 2)}
    for _ in range(8 * (replicas + 2)):
        new, old = sets["new"], [sets["old"]] if sets["old"]["spec"]["replicas"] else []
        for name, size in rollout.rolling_sizes(wanted, new, old).items():
            shrunk = min(sets[name]["status"]["availableReplicas"], size)
            sets[name] = replica_set(name, size, shrunk, rollout.revision_of(sets[name]))
            assert sum(entry["spec"]["replicas"] for entry in sets.values()) <= replicas + most_over
            assert sum(map(rollout.available_of, sets.values())) >= replicas - most_missing
        waiting = sets["new"]["spec"]["replicas"] - rollout.available_of(sets["new"])
        grown = rollout.available_of(sets["new"]) + (ready.randint(1, waiting) if waiting else 0)
        sets["new"] = replica_set("new", sets["new"]["spec"]["replicas"], grown, 2)
    assert (sets["new"]["spec"]["replicas"], sets["old"]["spec"]["replicas"]) == (replicas, 0)


def test_pods_that_are_not_available_go_first() -> None:
    sizes = rollout.rolling_sizes(deployment(4), replica_set("new", 1, 0, 2), [replica_set("old", 4, 2)])
    assert sizes == {"old": 3}


def test_the_hash_label_does_not_count_as_part_of_the_template() -> None:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {}}
    labelled = {"metadata": {"labels": {"app": "x", rollout.HASH_LABEL: "abc"}}, "spec": {}}
    owner, entry = {"spec": {"template": template}}, {"spec": {"template": labelled}}
    assert rollout.template_of(owner) == rollout.template_of(entry)
    assert rollout.template_hash(template) != rollout.template_hash(template, 1)
