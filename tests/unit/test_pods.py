"""Readings of pods and templates."""

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.kubernetes.pods import keeps_pgdata, read_pod, read_volumes
from infra.kubernetes.workloads import RestartFacts, Workload


def template(mount_path: str, volume: dict[str, Any], env: list[dict[str, str]] | None = None) -> dict[str, Any]:
    mounts = [{"name": "v", "mountPath": mount_path}]
    container = {"name": "db", "env": env or [], "volumeMounts": mounts}
    return {"spec": {"containers": [container], "volumes": [{"name": "v", **volume}]}}


CLAIM = {"persistentVolumeClaim": {"claimName": "data"}}


@pytest.mark.parametrize(
    "path", ["/var/lib/postgresql/data", "/var/lib/postgresql", "/var/lib/postgresql/data/pgdata", "/var"]
)
def test_a_claim_at_above_or_below_pgdata_keeps_the_data(path: str) -> None:
    assert keeps_pgdata(template(path, CLAIM))


@pytest.mark.parametrize("volume", [{"emptyDir": {}}, {"csi": {"driver": "secrets-store.csi.k8s.io"}}])
def test_a_volume_that_goes_with_the_pod_keeps_nothing(volume: dict[str, Any]) -> None:
    assert not keeps_pgdata(template("/var/lib/postgresql/data", volume))


def test_a_claim_elsewhere_keeps_no_database() -> None:
    assert not keeps_pgdata(template("/backups", CLAIM))
    assert not keeps_pgdata(template("/var/lib/postgresql-backups", CLAIM))


def test_pgdata_is_where_the_template_says() -> None:
    env = [{"name": "PGDATA", "value": "/backups/db"}]
    assert keeps_pgdata(template("/backups", CLAIM, env))
    assert not keeps_pgdata(template("/var/lib/postgresql/data", CLAIM, env))


@pytest.mark.parametrize("kind", ["hostPath", "nfs", "azureDisk", "ephemeral"])
def test_any_other_volume_is_taken_as_one_that_lasts(kind: str) -> None:
    assert keeps_pgdata(template("/var/lib/postgresql/data", {kind: {}}))


def test_volumes_name_what_is_behind_them() -> None:
    [found] = read_volumes(template("/data", CLAIM))
    assert (found.kind, found.source, found.mount_path) == ("persistentVolumeClaim", "data", "/data")


def test_a_workload_knows_which_mounts_of_a_class_are_one_file_that_never_changes() -> None:
    names = {"whole": "login", "file": "login", "other": "another"}
    mounts = [
        {"name": "whole", "mountPath": "/credential"},
        {"name": "file", "mountPath": "/app/db.password", "subPath": "password"},
        {"name": "file", "mountPath": "/app/db.username", "subPathExpr": "$(FILE)"},
        {"name": "other", "mountPath": "/other", "subPath": "x"},
    ]
    volumes = [
        {"name": name, "csi": {"volumeAttributes": {"secretProviderClass": source}}} for name, source in names.items()
    ]
    found = read_volumes({"spec": {"containers": [{"name": "app", "volumeMounts": mounts}], "volumes": volumes}})
    workload = Workload(1, True, (), found, False, RestartFacts())
    by_path = {volume.mount_path: volume.sub_path for volume in workload.find_sub_paths("login")}
    assert by_path == {"/app/db.password": "password", "/app/db.username": "$(FILE)"}


def test_a_pod_is_read_with_times_in_utc() -> None:
    facts = read_pod(
        {
            "metadata": {"name": "p", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "n", "containers": [{"image": "postgres:14"}]},
            "status": {
                "phase": "Running",
                "startTime": "2026-01-01T00:00:00Z",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"restartCount": 2}],
            },
        }
    )
    assert facts.started_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert (facts.ready, facts.terminating, facts.restarts, facts.node) == (True, True, 2, "n")
