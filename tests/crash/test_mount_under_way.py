"""A pod whose first mount is under way when its class is pinned: it gets both previous values, or both new ones."""

import time

from infra.credentials import Strategy
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from infra.rotation.steps import Action
from tests.crash.cases import Case
from tests.crash.faulty import VAULT, between, nothing_lost, rotate
from tests.crash.scene import CLIENT, DEPLOYMENTS, NAMESPACE, SECONDS, Scene

CASE = Case(Strategy.ALTERNATING, Sync.EXPRESS)
CREDENTIAL = CASE.credential
STATUSES = f"/apis/secrets-store.csi.x-k8s.io/v1/namespaces/{NAMESPACE}/secretproviderclasspodstatuses"
HELD_SECONDS = 6.0
"""How long the vault holds the mount's second read: longer than it takes from the pin to the second secret."""


def start_pod(scene: Scene) -> None:
    """Start one more pod of the client, and return when its mount has read the username and asks for the password."""
    faults = scene.lab.faults
    rule = faults.add_fault(host=VAULT, path="/secrets/password/*", method="GET", delay_seconds=HELD_SECONDS, times=1)
    scene.cluster.patch(f"{DEPLOYMENTS}/{CLIENT.workload.name}", {"spec": {"replicas": 2}})
    deadline = time.monotonic() + SECONDS
    while str(rule) in faults.faults()["faults"]:
        assert time.monotonic() < deadline, "nobody asks for the password"


def current_versions(scene: Scene) -> tuple[str, ...]:
    vault = scene.vault(CREDENTIAL)
    return tuple(vault.get_latest(name).version for name in CREDENTIAL.secrets.names)


def mounted_since(scene: Scene, resource_version: str) -> set[tuple[str, ...]]:
    """Return every pair of versions that mounts have reported, in the order of the secrets."""
    found = set()
    for event in scene.cluster.watch(STATUSES, {}, resource_version, 1.0):
        if event["type"] != "BOOKMARK":
            objects = event["object"]["status"]["objects"]
            versions = {entry["id"].partition("/")[2]: entry["version"] for entry in objects}
            found.add(tuple(versions[name] for name in CREDENTIAL.secrets.names))
    return found


def test_a_first_mount_that_began_before_the_pin_mixes_nothing(scene: Scene) -> None:
    scene.lab.faults.clear_faults()
    with CASE.prepared(scene), nothing_lost(scene, CREDENTIAL):
        since = scene.cluster.get(STATUSES)["metadata"]["resourceVersion"]
        previous = current_versions(scene)
        scene.lab.faults.switch("sync-paused")
        with between(lambda: start_pod(scene), Action.PIN):
            ended = rotate(CREDENTIAL)
        assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
        assert mounted_since(scene, since) == {previous, current_versions(scene)}
        scene.lab.faults.clear_faults()
