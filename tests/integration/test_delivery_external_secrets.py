"""Deliveries by External Secrets Operator: read, waited for, refreshed, pinned. The tests write what it reports."""

from types import SimpleNamespace
from typing import Any

import pytest

from infra.credentials import Consumer, ExternalSecretDelivery
from infra.errors import Code, Conflict, KeyturnError, NotFound, Refused, SyncPending
from infra.kubernetes.access import rehearsing
from infra.kubernetes.client import MERGE_PATCH, Cluster
from infra.kubernetes.deliveries import SecretState, open_delivery
from infra.kubernetes.deliveries.external_secrets import FORCE_SYNC, UNPINNED_REFS, ExternalSecrets
from infra.kubernetes.deliveries.operator_objects import find_api
from infra.kubernetes.deliveries.provider_classes import PINNED_FOR
from infra.kubernetes.discovery import Source, find_readers
from infra.kubernetes.manifests import apply
from testing.cluster_world import Then, World
from testing.external_secrets import API, STORE, external_secret, install_operator, store

VAULT = "orderskv"
KEYS = {"USERNAME": "username", "PASSWORD": "Password"}
NAMES = ("username", "Password")
OLD, LOGIN = {"username": "v1", "Password": "v1"}, {"username": "canary-2", "Password": "canary-3"}
DATA = {"USERNAME": "canary-2", "PASSWORD": "canary-3"}
STALE = {"USERNAME": "canary-0", "PASSWORD": "canary-1"}
GROUP = f"apis/{API}"


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: Cluster) -> None:
    install_operator(cluster)


class Operated:
    """A namespace with an ExternalSecret that keeps the Secret `userpass`, and what the operator says of it."""

    def __init__(self, world: World, **spec: Any) -> None:
        self.world = world
        made = external_secret(world.namespace, "login", KEYS, **{"target": {"name": "userpass"}, **spec})
        apply(world.cluster, [store(world.namespace, VAULT, "sa"), made])
        self.path = world.path("externalsecrets", "login", GROUP)

    @property
    def item(self) -> dict[str, Any]:
        return self.world.cluster.get(self.path)

    def change(self, body: dict[str, Any]) -> None:
        self.world.cluster.request("PATCH", self.path, {}, body, MERGE_PATCH)

    def report(self, ready: bool = True) -> None:
        """Report what the operator reports when it has synced what the object says now, or cannot."""
        reason = ("SecretSynced", "secret synced") if ready else ("SecretSyncedError", "Forbidden")
        condition = {"type": "Ready", "status": str(ready), "reason": reason[0], "message": reason[1]}
        status = {"conditions": [condition], "syncedResourceVersion": f"{self.item['metadata']['generation']}-abc"}
        self.world.cluster.request("PATCH", f"{self.path}/status", {}, {"status": status}, MERGE_PATCH)

    def delivery(self, cluster: Cluster | None = None, *, is_database: bool = False) -> ExternalSecrets:
        delivery = ExternalSecretDelivery(kind="external-secret", external_secret="login", synced_secret="userpass")
        consumer = Consumer(workload=self.world.workload.ref, delivery=delivery, is_database=is_database)
        opened = open_delivery(cluster or self.world.cluster, consumer)
        assert isinstance(opened, ExternalSecrets)
        return opened


@pytest.fixture
def operated(world: World) -> Operated:
    return Operated(world)


def test_it_is_observed_by_its_references_and_its_secret(operated: Operated) -> None:
    delivery = operated.delivery(is_database=True)
    assert delivery.find_mismatch(VAULT.upper(), NAMES) is None
    assert delivery.observe(NAMES, LOGIN).secret is SecretState.ABSENT
    operated.world.secret(STALE)
    assert delivery.observe(NAMES, LOGIN).secret is SecretState.OTHER
    operated.world.secret(DATA)
    found = delivery.observe(NAMES, LOGIN)
    assert (found.secret, found.uses, found.unmounted) == (SecretState.CURRENT, frozenset(NAMES), frozenset(NAMES))
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ({"target": {"name": "other"}}, "it keeps the Secret other, not userpass"),
        ({"refreshPolicy": "CreatedOnce"}, "its refreshPolicy is CreatedOnce, so its Secret never changes"),
        (
            {"data": [{"secretKey": "P", "remoteRef": {"key": "secret/password", "version": "v1"}}]},
            "it names a version of Password (remoteRef.version)",
        ),
        ({"data": [{"secretKey": "P", "remoteRef": {"key": "other"}}]}, "it does not read Password, username"),
    ],
)
def test_what_does_not_bring_the_credential_is_a_mismatch(world: World, spec: dict[str, Any], seen: str) -> None:
    mismatch = Operated(world, **spec).delivery().find_mismatch(VAULT, NAMES)
    assert type(mismatch) is Conflict
    assert (mismatch.code, mismatch.seen) == (Code.EXTERNAL_SECRET_MISMATCH, seen)
    assert mismatch.name == f"ExternalSecret login in {world.namespace}"


def test_a_store_of_another_vault_and_a_database_that_lacks_a_secret_are_mismatches(operated: Operated) -> None:
    other = operated.delivery().find_mismatch("elsewhere", NAMES)
    assert other is not None
    assert other.seen == f"its store reads the vault '{VAULT}'"
    operated.change({"spec": {"data": [{"secretKey": "P", "remoteRef": {"key": "password"}}]}})
    assert operated.delivery().find_mismatch(VAULT, NAMES) is None, "a client may use the password alone"
    lacking = operated.delivery(is_database=True).find_mismatch(VAULT, NAMES)
    assert lacking is not None
    assert lacking.seen == "it does not read username"


def test_the_wait_ends_with_the_secrets_data_and_says_what_the_operator_says(operated: Operated) -> None:
    operated.world.secret(STALE)
    then = Then(lambda: operated.world.secret(DATA))
    operated.delivery().wait_until_current({"uid": "db-1"}, {}, operated.delivery().seal(LOGIN), 10, then)
    assert then.heard == ["still the old values: PASSWORD, USERNAME", "the new values"]
    operated.world.secret(STALE)
    operated.report(ready=False)
    with pytest.raises(SyncPending) as caught:
        operated.delivery().wait_until_current({}, {}, operated.delivery().seal(LOGIN), 0.1)
    assert caught.value.seen == "still the old values: PASSWORD, USERNAME; SecretSyncedError: Forbidden"
    assert "canary" not in str(caught.value)


def test_a_stale_secret_is_refreshed_by_the_operator_and_not_written(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    operated.world.secret(STALE)
    delivery = operated.delivery()
    patched = list[dict[str, Any]]()

    def patch(cluster: Cluster, path: str, body: dict[str, Any]) -> Any:
        patched.append(body)
        operated.world.secret(DATA)

    monkeypatch.setattr(Cluster, "patch", patch)
    assert delivery.refresh(LOGIN) is SecretState.OTHER
    assert [list(body["metadata"]["annotations"]) for body in patched] == [[FORCE_SYNC]]
    assert delivery.refresh(LOGIN) is SecretState.CURRENT
    assert len(patched) == 1
    assert delivery.version_that_holds(delivery.seal(LOGIN))


def test_a_rehearsed_refresh_waits_for_nothing(operated: Operated) -> None:
    operated.world.secret(STALE)
    assert operated.delivery(rehearsing(operated.world.cluster)).refresh(LOGIN) is SecretState.OTHER
    assert FORCE_SYNC not in (operated.item["metadata"].get("annotations") or {})


def test_versions_are_pinned_for_a_rotation_and_unpinned_as_they_were(operated: Operated) -> None:
    delivery, before = operated.delivery(), operated.item["spec"]
    delivery.pin(OLD, "r1")
    assert [entry["remoteRef"]["version"] for entry in operated.item["spec"]["data"]] == ["v1", "v1"]
    observed = delivery.observe(NAMES, None)
    assert (observed.pinned_for, observed.pinned) == ("r1", OLD)
    assert delivery.find_mismatch(VAULT, NAMES) is None, "a rotation's own pins are not a mismatch"
    written = operated.item["metadata"]["resourceVersion"]
    delivery.pin(OLD, "r1")
    assert operated.item["metadata"]["resourceVersion"] == written, "nothing is written twice"
    delivery.unpin()
    delivery.unpin()
    assert operated.item["spec"] == before
    assert not {PINNED_FOR, UNPINNED_REFS} & set(operated.item["metadata"].get("annotations") or {})


def test_a_pin_counts_once_the_operator_has_synced_it(operated: Operated) -> None:
    delivery = operated.delivery()
    operated.report()
    delivery.pin(OLD, "r1")
    then = Then(operated.report)
    delivery.wait_for_first_mounts(dict, then)
    assert then.heard == ["an earlier generation is synced"]
    operated.change({"spec": {"refreshInterval": "2s"}})
    ticks = iter(range(0, 10_000, 50))
    with pytest.raises(SyncPending, match="an earlier generation is synced"):
        delivery.wait_for_first_mounts(dict, clock=lambda: float(next(ticks)))


@pytest.mark.parametrize(
    ("metadata", "seen"),
    [
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "kept by Flux (kustomize.toolkit.fluxcd.io/name)"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "kept by Argo CD (argocd.argoproj.io/tracking-id)"),
    ],
)
def test_a_pin_that_a_tool_would_take_out_again_is_told(operated: Operated, metadata: Any, seen: str) -> None:
    assert operated.delivery().find_pin_objection() is None
    operated.change({"metadata": metadata})
    found = operated.delivery().find_pin_objection()
    assert type(found) is Refused
    assert (found.code, found.seen) == (Code.PIN_UNDONE, seen)


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ({"refreshInterval": "0"}, "its refreshInterval is 0"),
        ({"refreshInterval": "0h0m0s"}, "its refreshInterval is 0"),
        ({"refreshPolicy": "OnChange"}, "its refreshPolicy is OnChange"),
        ({"refreshInterval": "10m"}, ""),
    ],
)
def test_what_does_not_look_for_new_versions_by_itself_is_told(world: World, spec: dict[str, str], seen: str) -> None:
    operated = Operated(world, **spec)
    assert describe(operated.delivery().find_stillness()) == "the operator has not looked at it"
    operated.report(ready=False)
    assert describe(operated.delivery().find_stillness()) == "SecretSyncedError: Forbidden"
    operated.report()
    assert describe(operated.delivery().find_stillness()) == seen


def describe(error: KeyturnError | None) -> str:
    assert error is None or error.code == Code.NOT_KEPT
    return error.seen if error else ""


def test_json_fields_are_compared_by_their_properties(world: World) -> None:
    data = [{"secretKey": "PASSWORD", "remoteRef": {"key": "login", "property": "password"}}]
    operated = Operated(world, data=data, dataFrom=[{"extract": {"key": "whole"}}])
    world.secret({"PASSWORD": "canary-3", "USERNAME": "canary-2"})
    values = {"login": '{"password": "canary-3"}', "whole": '{"USERNAME": "canary-2"}'}
    assert operated.delivery().observe(("login", "whole"), values).secret is SecretState.CURRENT
    other = {**values, "whole": '{"USERNAME": "canary-0"}'}
    assert operated.delivery().observe(("login", "whole"), other).secret is SecretState.OTHER
    operated.delivery().pin({"login": "v1", "whole": "v2"}, "r1")
    assert operated.delivery().observe(("login", "whole"), None).pinned == {"login": "v1", "whole": "v2"}


def test_an_external_secret_that_does_not_exist_is_named(world: World) -> None:
    missing = ExternalSecretDelivery(kind="external-secret", external_secret="nosuch")
    consumer = Consumer(workload=world.workload.ref, delivery=missing)
    with pytest.raises(NotFound, match="nosuch"):
        open_delivery(world.cluster, consumer).find_mismatch(VAULT, NAMES)


@pytest.mark.parametrize(
    ("served", "path"),
    [(("v1beta1", "v1"), f"/apis/{API}"), (("v1beta1",), "/apis/external-secrets.io/v1beta1"), (("v2",), None)],
)
def test_the_newest_version_that_is_served_is_spoken(served: tuple[str, ...], path: str | None) -> None:
    group = {"versions": [{"version": version} for version in served]}
    cluster: Any = SimpleNamespace(find=lambda asked: group)
    assert find_api(cluster) == path


def test_readers_of_an_external_secrets_secret_are_found_and_it_itself_where_nobody_reads_it(
    operated: Operated,
) -> None:
    world = operated.world
    other = external_secret(world.namespace, "another", {"P": "another"})
    apply(world.cluster, [other])

    def readers(vault: str = VAULT) -> dict[str, frozenset[Source]]:
        found = find_readers(world.cluster, vault, ["USERNAME"], {world.namespace})
        return {str(reader): reader.sources for reader in found if reader.namespace == world.namespace}

    assert readers() == {f"externalsecret {world.namespace}/login": {Source("ExternalSecret", "login")}}
    env = [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "userpass", "key": "USERNAME"}}}]
    container = {"name": "db", "image": "postgres:14", "env": env}
    world.deployment(template={"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [container]}})
    assert readers() == {f"deployment {world.namespace}/db": {Source("Secret", "userpass")}}
    assert readers("elsewhere") == {}
    world.cluster.delete(world.path("secretstores", STORE, GROUP))
    assert readers("elsewhere") != {}, "a store that cannot be looked at may read the vault"
