"""The adapter on an API server: what it applies, reads and waits for. Controllers and node are the tests' own hands."""

import copy
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count

import pytest
from cluster_world import CLASS, DEFINITIONS, Then, World, driver

from infra.errors import AccessDenied, AuthenticationFailed, InvalidInput, NotFound, SyncPending, WorkloadUnhealthy
from infra.kubernetes.apply import apply, delete
from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.inventory import list_pods, list_service_accounts, list_services
from infra.kubernetes.manifests import load
from infra.kubernetes.provider_classes import get_provider_class
from infra.kubernetes.secrets_store import (
    Mount,
    find_synced_secret,
    get_driver,
    get_synced_secret,
    list_mounts,
    synced_secret_holds,
    update_synced_secret,
    wait_for_mounts,
    wait_for_synced_secret,
)
from infra.kubernetes.workloads import (
    get_load_balancer,
    get_workload,
    scale,
    wait_for_load_balancer,
    wait_for_pods_gone,
    wait_for_ready,
)
from infra.settings import Settings
from tests.contract.clusters import SmallCluster, small_cluster

VALUES = {
    "SERVICE_ACCOUNT": "dexter-sa",
    "CLIENT_ID": "11111111-0000-4000-8000-000000000001",
    "TENANT_ID": "22222222-0000-4000-8000-000000000002",
    "VAULT": "dexterkeyvault",
    "USERNAME_SECRET": "username",
    "PASSWORD_SECRET": "password",
    "GET_STORAGE_IMAGE": "get-storage:1",
}
OLD, NEW = {"username": "v1", "password": "v1"}, {"username": "v2", "password": "v2"}
ALLOWED_SECONDS = 0.2
"""From the evidence to going on."""


@pytest.fixture(scope="module")
def server() -> Iterator[SmallCluster]:
    with small_cluster() as started:
        yield started


@pytest.fixture(scope="module")
def cluster(server: SmallCluster) -> Iterator[Cluster]:
    connected = connect(server.kubeconfig, Settings(request_timeout_seconds=5))
    apply(connected, [*DEFINITIONS, driver(republish=False)])
    yield connected
    connected.close()


@pytest.fixture
def world(cluster: Cluster, numbers: Iterator[int]) -> World:
    return World(cluster, f"dexter-{next(numbers)}")


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return count()


def test_applying_creates_in_order_and_a_second_time_changes_nothing(world: World) -> None:
    documents = load("dexter.yaml", VALUES | {"NAMESPACE": world.namespace})
    first = apply(world.cluster, documents)
    assert [(one.kind, one.name, one.action) for one in first] == [
        ("Namespace", world.namespace, "unchanged"),
        ("SecretProviderClass", CLASS, "created"),
        ("ServiceAccount", "dexter-sa", "created"),
        ("Deployment", "postgres-pod-kv", "created"),
        ("Service", "dexter-service", "created"),
    ]
    assert {one.action for one in apply(world.cluster, documents)} == {"unchanged"}


def test_a_change_is_told_field_by_field(world: World) -> None:
    [document] = load("medoko.yaml", VALUES | {"NAMESPACE": world.namespace})
    apply(world.cluster, [document])
    document["spec"]["replicas"] = 3
    [applied] = apply(world.cluster, [document])
    assert (applied.action, applied.changes) == ("configured", ("spec.replicas: 1 -> 3",))


def test_a_dry_run_says_what_would_change_and_changes_nothing(world: World) -> None:
    [document] = load("medoko.yaml", VALUES | {"NAMESPACE": world.namespace})
    [absent] = apply(world.cluster, [document], dry_run=True)
    assert absent.action == "created"
    assert world.cluster.find(world.path("deployments", "get-storage", "apis/apps/v1")) is None
    apply(world.cluster, [document])
    document["spec"]["replicas"] = 3
    [planned] = apply(world.cluster, [document], dry_run=True)
    assert (planned.action, planned.changes) == ("configured", ("spec.replicas: 1 -> 3",))
    assert get_workload(world.cluster, world.namespace, "get-storage").replicas == 1


def test_a_dry_run_reaches_into_a_namespace_that_does_not_exist_yet(cluster: Cluster) -> None:
    documents = load("dexter.yaml", VALUES | {"NAMESPACE": "nowhere"})
    assert {one.action for one in apply(cluster, documents, dry_run=True)} == {"created"}
    assert cluster.find("/api/v1/namespaces/nowhere") is None


def test_fields_that_another_manager_has_set_are_taken_over(world: World) -> None:
    [document] = load("medoko.yaml", VALUES | {"NAMESPACE": world.namespace})
    apply(world.cluster, [document], "somebody-else")
    document["spec"]["replicas"] = 2
    [applied] = apply(world.cluster, [document])
    assert applied.changes == ("spec.replicas: 1 -> 2",)


def test_a_kind_that_the_cluster_does_not_know_is_named(world: World) -> None:
    document = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}
    with pytest.raises(NotFound) as caught:
        apply(world.cluster, [document])
    assert (caught.value.name, caught.value.code) == ("example.com/v1 Thing", "NoKindMatch")


def test_an_unknown_field_is_refused_and_nothing_is_made(world: World) -> None:
    [document] = load("medoko.yaml", VALUES | {"NAMESPACE": world.namespace})
    document["spec"]["replicaz"] = 2
    with pytest.raises(InvalidInput) as caught:
        apply(world.cluster, [document])
    assert "replicaz" in caught.value.seen
    assert world.cluster.find(world.path("deployments", "get-storage", "apis/apps/v1")) is None


def test_deleting_again_is_fine(world: World) -> None:
    documents = load("medoko.yaml", VALUES | {"NAMESPACE": world.namespace})
    apply(world.cluster, documents)
    delete(world.cluster, documents)
    delete(world.cluster, documents)
    assert world.cluster.find(world.path("deployments", "get-storage", "apis/apps/v1")) is None


def test_the_driver_tells_its_generation(cluster: Cluster) -> None:
    assert get_driver(cluster).generation == "reconciler"
    apply(cluster, [driver(republish=True)])
    found = get_driver(cluster)
    assert (found.generation, found.requires_republish) == ("republish", True)
    delete(cluster, [driver(republish=True)])
    with pytest.raises(NotFound) as caught:
        get_driver(cluster)
    assert "add-on" in caught.value.remedy
    apply(cluster, [driver(republish=False)])


def test_a_provider_class_tells_what_becomes_a_file_and_what_a_key(world: World) -> None:
    apply(world.cluster, load("dexter.yaml", VALUES | {"NAMESPACE": world.namespace}))
    found = get_provider_class(world.cluster, world.namespace, CLASS)
    assert (found.vault, found.client_id, found.tenant_id) == (
        VALUES["VAULT"],
        VALUES["CLIENT_ID"],
        VALUES["TENANT_ID"],
    )
    assert found.files == {"username": "username", "password": "password"}
    assert found.synced == {"userpass": {"USERNAME": "username", "PASSWORD": "password"}}


def test_mounts_of_other_classes_are_not_listed(world: World) -> None:
    world.mount("db-1", world.pod("db-1"), OLD, "another")
    uid = world.pod("db-2")
    world.mount("db-2", uid, OLD)
    assert list_mounts(world.cluster, world.namespace, CLASS) == [Mount("db-2", uid, OLD)]


def test_the_wait_for_mounts_goes_on_at_once_when_both_versions_are_there(world: World) -> None:
    uid, evidence = world.pod("db-1"), []
    world.mount("db-1", uid, OLD)

    def torn() -> None:
        world.mount("db-1", uid, OLD | {"username": "v2"})

    def whole() -> None:
        world.mount("db-1", uid, NEW)
        evidence.append(time.monotonic())

    then = Then(torn, whole)
    wait_for_mounts(world.cluster, world.namespace, CLASS, [uid], NEW, 10, then)
    assert time.monotonic() - evidence[0] < ALLOWED_SECONDS
    assert then.heard == [
        "db-1 has 0 of 2 new versions, password at v1, username at v1",
        "db-1 has 1 of 2 new versions, password at v1",
    ]


def test_a_pod_of_the_same_name_is_another_pod(world: World) -> None:
    world.mount("db-1", world.pod("db-1"), NEW)
    with pytest.raises(SyncPending) as caught:
        wait_for_mounts(world.cluster, world.namespace, CLASS, ["another-uid"], NEW, 0.2)
    assert caught.value.seen == "pod another- has mounted nothing"
    assert caught.value.retryable


def test_every_pod_must_have_the_versions(world: World) -> None:
    first, second = world.pod("db-1"), world.pod("db-2")
    world.mount("db-1", first, NEW)
    then = Then(lambda: world.mount("db-2", second, NEW))
    wait_for_mounts(world.cluster, world.namespace, CLASS, [first, second], NEW, 10, then)
    assert len(then.heard) == 1


def test_a_synced_secret_shows_lengths_and_never_values(world: World) -> None:
    world.secret({"USERNAME": "dexter", "PASSWORD": "canary-1"})
    found = get_synced_secret(world.cluster, world.namespace, "userpass")
    assert (found.managed, found.sizes) == (True, {"PASSWORD": 8, "USERNAME": 6})
    assert "canary" not in repr(found)


def test_a_synced_secret_is_compared_whole(world: World) -> None:
    def holds(**expected: str) -> bool:
        return synced_secret_holds(world.cluster, world.namespace, "userpass", expected)

    assert not holds(USERNAME="dexter")
    world.secret({"USERNAME": "dexter", "PASSWORD": "a"})
    assert holds(USERNAME="dexter", PASSWORD="a")
    assert holds(USERNAME="dexter")
    assert not holds(USERNAME="dexter", PASSWORD="b")
    assert not holds(USERNAME="dexter", OTHER="")


def test_the_wait_for_the_secret_goes_on_at_once_and_tells_no_value(world: World) -> None:
    world.secret({"USERNAME": "canary-0", "PASSWORD": "canary-1"})
    evidence = []

    def whole() -> None:
        world.secret({"PASSWORD": "canary-3"})
        evidence.append(time.monotonic())

    then = Then(lambda: world.secret({"USERNAME": "canary-2"}), whole)
    expected = {"USERNAME": "canary-2", "PASSWORD": "canary-3"}
    wait_for_synced_secret(world.cluster, world.namespace, "userpass", expected, 10, then)
    assert time.monotonic() - evidence[0] < ALLOWED_SECONDS
    assert then.heard == ["still the old values: PASSWORD, USERNAME", "still the old values: PASSWORD"]


def test_a_secret_that_never_comes_is_told_without_values(world: World) -> None:
    with pytest.raises(SyncPending) as caught:
        wait_for_synced_secret(world.cluster, world.namespace, "userpass", {"PASSWORD": "canary"}, 0.2)
    assert caught.value.seen == "the Secret does not exist"
    assert "canary" not in f"{caught.value} {caught.value!r}"


def test_a_synced_secret_takes_values_ahead_of_the_driver_and_keeps_its_other_keys(world: World) -> None:
    world.secret({"USERNAME": "dexter", "PASSWORD": "canary-1"})
    assert update_synced_secret(world.cluster, world.namespace, "userpass", {"PASSWORD": "canary-2"})
    expected = {"USERNAME": "dexter", "PASSWORD": "canary-2"}
    assert synced_secret_holds(world.cluster, world.namespace, "userpass", expected)


def test_an_absent_secret_is_left_to_the_driver(world: World) -> None:
    assert not update_synced_secret(world.cluster, world.namespace, "userpass", {"PASSWORD": "canary"})
    assert find_synced_secret(world.cluster, world.namespace, "userpass") is None


def test_scaling_sets_the_wanted_pods_and_nothing_else(world: World) -> None:
    world.deployment(replicas=1)
    before = get_workload(world.cluster, world.namespace, "db")
    scale(world.cluster, world.namespace, "db", 0)
    after = get_workload(world.cluster, world.namespace, "db")
    assert (before.replicas, after.replicas) == (1, 0)
    assert after.generation == before.generation + 1
    assert after.volumes == before.volumes


def test_scaling_what_does_not_exist_is_an_error_that_names_it(world: World) -> None:
    with pytest.raises(NotFound) as caught:
        scale(world.cluster, world.namespace, "nosuch", 0)
    assert "nosuch" in caught.value.name


def test_pods_are_gone_when_the_last_one_is(world: World) -> None:
    world.deployment(replicas=0)
    world.pod("db-1")
    world.pod("db-2")

    def remove(name: str) -> None:
        world.cluster.delete(world.path("pods", name), gracePeriodSeconds="0")

    then = Then(lambda: remove("db-1"), lambda: remove("db-2"))
    wait_for_pods_gone(world.cluster, world.namespace, "db", 10, then)
    assert then.heard[0] == "db-1 runs on, db-2 runs on"
    assert list_pods(world.cluster, world.namespace) == ()


def test_pods_that_stay_are_named(world: World) -> None:
    world.deployment(replicas=0)
    world.pod("db-1")
    with pytest.raises(WorkloadUnhealthy) as caught:
        wait_for_pods_gone(world.cluster, world.namespace, "db", 0.2)
    assert (caught.value.code, caught.value.seen) == ("PodsLeft", "db-1 runs on")


def test_a_workload_is_ready_when_its_controller_and_its_pods_say_so(world: World) -> None:
    world.deployment()
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    then = Then(lambda: (world.pod("db-1", ready), world.settle()))
    found = wait_for_ready(world.cluster, world.namespace, "db", 10, then)
    assert found.settled
    assert [pod.ready for pod in found.pods] == [True]
    assert then.heard == ["0 of 1 pods ready"]


def test_a_report_about_the_spec_before_is_not_believed(world: World) -> None:
    world.deployment()
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    world.pod("db-1", ready)
    world.settle()
    scale(world.cluster, world.namespace, "db", 0)
    scale(world.cluster, world.namespace, "db", 1)
    assert not get_workload(world.cluster, world.namespace, "db").settled


def test_pods_that_do_not_get_ready_in_time_are_explained(world: World) -> None:
    world.deployment()
    uid = world.pod("db-1", {"phase": "Pending"})
    world.event("FailedMount", "MountVolume.SetUp failed: AADSTS700213: no match", "Pod", "db-1", uid)
    with pytest.raises(WorkloadUnhealthy) as caught:
        wait_for_ready(world.cluster, world.namespace, "db", 0.2)
    assert caught.value.code == "AADSTS700213"
    assert caught.value.name == f"db in {world.namespace}"
    assert "federated credential's subject" in caught.value.remedy


def test_a_cause_that_does_not_pass_by_itself_ends_the_wait_early(world: World) -> None:
    world.deployment()
    waiting = {"reason": "CreateContainerConfigError", "message": "couldn't find key X in Secret dexter/userpass"}
    container = {"name": "db", "image": "postgres:14", "imageID": "", "ready": False, "restartCount": 0}
    world.pod("db-1", {"phase": "Pending", "containerStatuses": [container | {"state": {"waiting": waiting}}]})
    seconds = count(step=5)
    with pytest.raises(WorkloadUnhealthy) as caught:
        wait_for_ready(world.cluster, world.namespace, "db", 100_000, clock=lambda: float(next(seconds)))
    assert caught.value.code == "SecretKeyMissing"
    assert next(seconds) < 1000


def test_a_workload_that_does_not_exist_is_not_waited_for(world: World) -> None:
    with pytest.raises(NotFound):
        wait_for_ready(world.cluster, world.namespace, "nosuch", 100)


def balancer(world: World) -> str:
    spec = {"type": "LoadBalancer", "ports": [{"port": 5432, "targetPort": 5432}], "selector": {"app": "db"}}
    item = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dexter-service"}, "spec": spec}
    return str(world.put("services", item)["metadata"]["uid"])


def test_a_load_balancer_is_waited_for_until_it_has_an_address(world: World) -> None:
    balancer(world)
    status = {"loadBalancer": {"ingress": [{"ip": "127.77.200.1"}]}}
    then = Then(lambda: world.set_status("services", "dexter-service", status))
    found = wait_for_load_balancer(world.cluster, world.namespace, "dexter-service", 10, then)
    assert found == get_load_balancer(world.cluster, world.namespace, "dexter-service") == ("127.77.200.1", 5432)
    [service] = list_services(world.cluster, world.namespace)
    assert (service.kind, service.address, service.ports) == ("LoadBalancer", "127.77.200.1", "5432/TCP")


def test_a_load_balancer_without_address_is_explained_by_its_event(world: World) -> None:
    uid = balancer(world)
    world.event("SyncLoadBalancerFailed", "PublicIPCountLimitReached", "Service", "dexter-service", uid)
    with pytest.raises(WorkloadUnhealthy) as caught:
        wait_for_load_balancer(world.cluster, world.namespace, "dexter-service", 0.2)
    assert caught.value.code == "SyncLoadBalancerFailed"
    assert "PublicIPCountLimitReached" in caught.value.seen


def test_a_service_that_does_not_exist_is_not_waited_for(world: World) -> None:
    with pytest.raises(NotFound):
        wait_for_load_balancer(world.cluster, world.namespace, "nosuch", 100)


def test_service_accounts_tell_their_identity(world: World) -> None:
    apply(world.cluster, load("dexter.yaml", VALUES | {"NAMESPACE": world.namespace})[2:3])
    found = {account.name: account.client_id for account in list_service_accounts(world.cluster, world.namespace)}
    assert found["dexter-sa"] == VALUES["CLIENT_ID"]


def with_token(server: SmallCluster, user: str, lifetime: timedelta) -> Cluster:
    kubeconfig = copy.deepcopy(server.kubeconfig)
    token = server.call(server.server.token, user, [], lifetime)
    kubeconfig["users"][0]["user"] = {"token": token}
    return connect(kubeconfig, Settings(request_timeout_seconds=5))


def test_a_kubeconfig_whose_token_has_expired_is_not_recognised(server: SmallCluster, world: World) -> None:
    with (
        closing(with_token(server, "somebody", timedelta(0))) as cluster,
        pytest.raises(AuthenticationFailed) as caught,
    ):
        scale(cluster, world.namespace, "db", 0)
    assert caught.value.code == "Unauthorized"
    assert "expired" in caught.value.remedy


def test_who_has_no_rights_is_told_what_was_refused_and_nothing_is_changed(server: SmallCluster, world: World) -> None:
    world.deployment(replicas=1)
    with (
        closing(with_token(server, "somebody", timedelta(minutes=5))) as cluster,
        pytest.raises(AccessDenied) as caught,
    ):
        scale(cluster, world.namespace, "db", 0)
    assert caught.value.code == "Forbidden"
    assert "somebody" in caught.value.seen
    assert get_workload(world.cluster, world.namespace, "db").replicas == 1
