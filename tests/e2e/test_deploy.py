"""The deploy flow on the lab: what it makes, what it says, and that it makes nothing twice."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from changed_stacks import ChangeStack
from killing import kill
from prefect.client.schemas.objects import State
from reports import rows, verdict

from flows.deploy import Deployed, deploy
from infra.azure.client import Azure
from infra.errors import AuthenticationFailed, Code, Conflict, KeyturnError, NotFound, Refused, SecretUnusable
from infra.kubernetes.client import Cluster
from infra.kubernetes.leases import Holder, Lock
from infra.provisioning.options import DeployOptions
from infra.rotation.execution import Verdict
from infra.settings import Settings
from tasks.provisioning.deployment import DatabaseAddress
from tasks.rotation.lock import lease_name
from testing import bare
from testing.inventory import list_shipped_alone
from testing.rotating import NAMESPACE, STACK, World, rotate
from testing.walkthrough import DEXTER

pytestmark = pytest.mark.owner

DATABASE = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/postgres-pod-kv"
OPTIONS = DeployOptions(ready_timeout_seconds=60, address_timeout_seconds=20)


def run(dry_run: bool = False) -> State[Any]:
    return deploy(STACK.name, dry_run, OPTIONS, return_state=True)


def run_bare(dry_run: bool = False) -> State[Any]:
    return bare.run(deploy, STACK.name, dry_run, OPTIONS)


def refusal() -> KeyturnError:
    found = run_bare().data
    assert isinstance(found, KeyturnError), found
    return found


def namespaces(cluster: Cluster) -> set[str]:
    return {item["metadata"]["name"] for item in cluster.get("/api/v1/namespaces")["items"]}


@pytest.fixture
def disabled(world: World) -> Iterator[str]:
    """A secret whose newest version is disabled."""
    with Azure(Settings()) as azure:
        vault = azure.vault(STACK.vault)
        written = vault.write("switched-off", "canary")
        vault.set_enabled("switched-off", written.version, False)
        yield "switched-off"
        vault.delete("switched-off")


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(world: World, changed: ChangeStack) -> None:
    before = namespaces(world.cluster)
    changed(database={"endpoint": {"namespace": "elsewhere"}})
    state = run(dry_run=True)
    assert (verdict(state), state.result()) == ("planned", Deployed("planned", 6))
    assert [row["action"] for row in rows("deploy-plan", state)] == ["created"] * 6
    assert namespaces(world.cluster) == before


@pytest.fixture(scope="module")
def second(stack: World) -> State[Any]:
    """A deployment of what is deployed, during which nothing changed."""
    list_shipped_alone()
    before = stack.snapshot()
    state = run()
    assert stack.snapshot() == before
    return state


def test_a_second_deployment_changes_nothing_and_says_so(world: World, second: State[Any]) -> None:
    state = second
    assert verdict(state) == "unchanged"
    deployed = state.result()
    assert deployed == Deployed("unchanged", 0, DatabaseAddress(world.database.address.host, 5432))
    assert {row["action"] for row in rows("deploy-applied", state)} == {"unchanged"}


def test_the_reports_show_what_runs_and_no_value(world: World, second: State[Any]) -> None:
    state = second
    [driver] = rows("csi-driver", state)
    assert driver["generation"] == str(world.lab.options.driver)
    accounts = {row["service account"]: row["client id"] for row in rows("service-accounts", state)}
    assert len(accounts["dexter-sa"]) == 36
    pods = {row["pod"].rsplit("-", 2)[0]: row["ready"] for row in rows("pods", state)}
    assert pods == {"postgres-pod-kv": "yes", "get-storage": "yes"}
    [service] = [row for row in rows("services", state) if row["service"] == "dexter-service"]
    assert (service["type"], service["address"]) == ("LoadBalancer", world.database.address.host)
    username, password = world.values()
    keys = {row["key"]: row["bytes"] for row in rows("synced-secret", state)}
    assert keys == {"USERNAME": str(len(username)), "PASSWORD": str(len(password))}
    assert password not in json.dumps([rows(key, state) for key in ("synced-secret", "pods", "services", "csi-driver")])


def test_a_vault_that_does_not_exist_stops_it_before_anything_is_applied(world: World, changed: ChangeStack) -> None:
    before = world.snapshot()
    changed(both={"vault": "nosuchvault"})
    error = refusal()
    assert type(error) is NotFound
    assert "nosuchvault" in error.name
    assert world.snapshot() == before


def test_a_secret_that_does_not_exist_stops_it_before_anything_is_applied(world: World, changed: ChangeStack) -> None:
    before = world.snapshot()
    changed(database={"secrets": {"password": "nosuch"}})
    error = refusal()
    assert (type(error), error.code) == (NotFound, "SecretNotFound")
    assert world.snapshot() == before


def test_a_disabled_secret_stops_it_before_anything_is_applied(
    world: World, changed: ChangeStack, disabled: str
) -> None:
    before = world.snapshot()
    changed(database={"secrets": {"password": disabled}})
    error = refusal()
    assert (type(error), error.code) == (SecretUnusable, "SecretDisabled")
    assert world.snapshot() == before


def test_a_kubeconfig_that_does_not_exist_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYTURN_KUBECONFIG", "/nosuch/kubeconfig")
    error = refusal()
    assert (type(error), error.name) == (NotFound, "/nosuch/kubeconfig")


def test_a_kubeconfig_with_a_token_that_is_no_longer_good_says_what_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = Path(world.lab.env["KUBECONFIG"]).read_text().splitlines()
    text = tmp_path / "kubeconfig"
    text.write_text("\n".join(f"{line}x" if line.strip().startswith("token:") else line for line in lines))
    monkeypatch.setenv("KEYTURN_KUBECONFIG", str(text))
    error = refusal()
    assert (type(error), error.code) == (AuthenticationFailed, "Unauthorized")
    assert "expired" in error.fix


@contextmanager
def locked_elsewhere(world: World) -> Iterator[None]:
    """A rotation of the database that runs on another machine."""
    holder = Holder("r0", "another-machine", "1.1", "elsewhere")
    lock, stopped = Lock(world.cluster, NAMESPACE, lease_name(DEXTER), holder, duration_seconds=3), threading.Event()
    lock.acquire()
    renewal = threading.Thread(target=lock.keep, args=(stopped,))
    renewal.start()
    try:
        yield
    finally:
        stopped.set()
        renewal.join()
        lock.release()


def test_while_a_rotation_runs_nothing_is_deployed(world: World) -> None:
    world.cluster.patch(DATABASE, {"spec": {"replicas": 0}})
    with locked_elsewhere(world):
        refused = refusal()
        assert (type(refused), refused.code) == (Conflict, Code.LOCKED)
        assert "held by elsewhere" in refused.seen
        assert world.cluster.get(DATABASE)["spec"]["replicas"] == 0
        assert verdict(run_bare(dry_run=True)) == "planned", "a dry run changes nothing and needs no lock"
    assert verdict(run_bare()) == "deployed"
    assert world.cluster.get(DATABASE)["spec"]["replicas"] == 1


def test_what_an_unfinished_rotation_has_stopped_is_not_started_by_a_deployment(world: World) -> None:
    assert kill("after", f"PATCH {DATABASE}") == f"killed after PATCH {DATABASE}"
    refused = refusal()
    assert (type(refused), refused.code) == (Refused, Code.ROTATION_UNFINISHED)
    assert "Deployment postgres-pod-kv would change: spec.replicas: 0 -> 1" in refused.seen
    assert "Rotate the credential" in refused.fix
    assert world.cluster.get(DATABASE)["spec"]["replicas"] == 0
    assert rotate(sync="express").verdict is Verdict.ROTATED
    assert verdict(run_bare()) == "unchanged"
    world.assert_well()
