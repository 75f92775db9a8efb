"""The preflight: what would keep a rotation from ending well is found before anything is staged, all of it at once."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from clients import CLIENT, DEPLOYMENTS, IN_PLACE, SECONDS, WITH_CLIENT, manifest

from infra.credentials import Consumer, Credential, Strategy
from infra.errors import AccessDenied, Code, KeyturnError, Refused, Unverified
from infra.kubernetes.pods import find_differing_files
from infra.kubernetes.waiting import follow
from infra.rotation.execution import Verdict
from tasks.preflight import registry
from tasks.preflight.rights import CONSUMERS, DISCOVERY, ENDPOINT, LOCK, PINS
from testing.bare import Ended, run_rotation
from testing.inventory import listed
from testing.labs import ROOT
from testing.rotating import NAMESPACE, World, options_with, rotate
from testing.rotator import RBAC, ROLE_NAMES, ROLES, add_caller, bind
from testing.walkthrough import DATABASE, SERVER, change, consumer_like

READS = "keyturn-test-reads"
ALTERNATING = change(IN_PLACE, strategy=Strategy.ALTERNATING)
FILES, RELOADS = "keyturn-files", "keyturn-reloads"
POD = {"name": "bare", "labels": {"app": "bare"}}


@pytest.fixture
def unchanged(world: World) -> Iterator[World]:
    """Nothing may have changed when the test is over."""
    before = world.snapshot()
    yield world
    assert world.snapshot() == before


class Findings:
    """A logger that keeps what the preflight found."""

    def __init__(self) -> None:
        self.lines = list[str]()

    def warning(self, text: str, *arguments: object) -> None:
        self.lines.append(text % arguments)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the preflights of a test find, a line each."""
    findings = Findings()
    monkeypatch.setattr(registry, "run_logger", lambda: findings)
    return findings.lines


def look(credential: Credential, **changes: Any) -> Ended:
    """Make a dry run."""
    return run_rotation(listed(credential), options_with(**changes), dry_run=True)


@contextmanager
def bound(world: World, *roles: str) -> Iterator[None]:
    """Bind these roles alone for a block."""
    bind(world.cluster, NAMESPACE, roles)
    try:
        yield
    finally:
        bind(world.cluster, NAMESPACE)


@contextmanager
def reading_only(world: World) -> Iterator[None]:
    """Let who rotates see everything at the consumers and change nothing, for a block."""
    (role,) = (role for role in ROLES if role["metadata"]["name"] == CONSUMERS)
    rules = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != "patch"]} for rule in role["rules"]]
    roles, bindings = (f"/apis/{RBAC}/v1/namespaces/{NAMESPACE}/{plural}" for plural in ("roles", "rolebindings"))
    subjects = [{"kind": "ServiceAccount", "name": "keyturn", "namespace": "keyturn"}]
    reference = {"apiGroup": RBAC, "kind": "Role", "name": READS}
    world.cluster.request("POST", roles, {}, {"metadata": {"name": READS}, "rules": rules})
    binding = {"metadata": {"name": READS}, "roleRef": reference, "subjects": subjects}
    world.cluster.request("POST", bindings, {}, binding)
    try:
        with bound(world, *(name for name in ROLE_NAMES if name != CONSUMERS)):
            yield
    finally:
        world.cluster.delete(f"{bindings}/{READS}")
        world.cluster.delete(f"{roles}/{READS}")


@contextmanager
def deployed(world: World, name: str, **changes: Any) -> Iterator[Consumer]:
    """Make the Deployment of a client for a block, without waiting for its pods."""
    made = manifest(["true"])
    made["metadata"]["name"] = name
    template = made["spec"]["template"]
    made["spec"]["selector"]["matchLabels"] = {"app": name}
    template["metadata"]["labels"]["app"] = name
    made["spec"] |= changes.pop("spec", {})
    template["spec"] |= changes.pop("pod", {})
    for key, value in changes.pop("container", {}).items():
        template["spec"]["containers"][0][key] = value
    world.cluster.request("POST", DEPLOYMENTS, {}, made)
    try:
        yield consumer_like(CLIENT, name=name, **changes)
    finally:
        world.cluster.delete(f"{DEPLOYMENTS}/{name}")


def assert_missing(error: KeyturnError, role: str, *rights: str) -> None:
    assert isinstance(error, AccessDenied | Refused)
    assert (error.code, error.name) == ("RightsMissing", f"the namespace {NAMESPACE}")
    for right in rights:
        assert right in error.seen
    binding = f"kubectl create rolebinding {role} --clusterrole={role} --serviceaccount=keyturn:keyturn -n {NAMESPACE}"
    assert error.fix.startswith(binding)


def test_a_change_that_the_caller_may_not_make_is_found_before_anything_is_staged(unchanged: World) -> None:
    with deployed(unchanged, "client", spec={"replicas": 0}), reading_only(unchanged):
        seen, done = look(WITH_CLIENT), rotate(WITH_CLIENT)
    for ended in (seen, done):
        assert ended.verdict is Verdict.REFUSED
        assert ended.error is not None
        assert_missing(ended.error, CONSUMERS, "patch deployments 'client'", "patch secrets 'userpass'")
        assert "patch deployments 'postgres-pod-kv'" not in ended.error.seen, "nobody restarts it"


@pytest.mark.parametrize(
    ("role", "rights"),
    [
        (CONSUMERS, ("get deployments 'postgres-pod-kv'", "watch pods", "list secretproviderclasspodstatuses")),
        (ENDPOINT, ("get services 'dexter-service'",)),
        (LOCK, ("create leases", "update leases")),
        (DISCOVERY, ("list secretproviderclasses", "list secretstores")),
    ],
)
def test_a_role_that_is_not_bound_is_named_with_what_it_gives(
    unchanged: World, role: str, rights: tuple[str, ...]
) -> None:
    with bound(unchanged, *(name for name in ROLE_NAMES if name != role)):
        seen, done = look(IN_PLACE), rotate(IN_PLACE)
    for ended in (seen, done):
        assert ended.verdict is Verdict.REFUSED
        found = [cause for cause in ended.causes if cause.code == Code.RIGHTS_MISSING]
        assert len(found) == 1
        assert_missing(found[0], role, *rights)


def test_alternating_needs_the_right_to_pin(unchanged: World, found: list[str]) -> None:
    with bound(unchanged, *(name for name in ROLE_NAMES if name != PINS)):
        assert look(IN_PLACE).verdict is Verdict.PLANNED
        assert look(ALTERNATING).verdict is Verdict.REFUSED
    (missing,) = (line for line in found if "RightsMissing" in line)
    assert missing.startswith("blocking: ")
    assert "patch secretproviderclasses 'postgresql-kvname'" in missing
    assert f"--clusterrole={PINS} " in missing


def test_everything_that_blocks_is_listed_by_one_dry_run_which_ends_with_one(unchanged: World) -> None:
    part = [{"name": "credential", "mountPath": "/app/password", "subPath": "password"}]
    with (
        deployed(unchanged, "paused", spec={"paused": True}) as paused,
        deployed(unchanged, "unmounted", pod={"volumes": []}, container={"volumeMounts": []}) as unmounted,
        deployed(unchanged, "part", container={"volumeMounts": part, "env": []}, needs_restart=False) as reader,
    ):
        consumers = (DATABASE, paused, unmounted, reader)
        credential = change(IN_PLACE, consumers=consumers)
        done = rotate(credential)
        argv = [sys.executable, "-m", "flows.rotate", listed(credential)]
        printed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.verdict is Verdict.REFUSED
    assert {(cause.code, cause.name) for cause in done.causes} == {
        ("Paused", paused.key),
        ("NotMounted", unmounted.key),
        ("PartlyMounted", reader.key),
    }
    assert "subPath at /app/password of the container client" in str(done.error)
    assert printed.returncode == 1, printed.stderr
    for word in ("Paused", "NotMounted", "PartlyMounted", "kubectl rollout resume"):
        assert word in printed.stdout
    assert "warning: The workload is not ready now" in printed.stdout + printed.stderr


def test_a_client_that_is_scaled_to_0_blocks_nothing(unchanged: World) -> None:
    volumes = {"pod": {"volumes": []}, "container": {"volumeMounts": []}}
    with deployed(unchanged, "stopped", spec={"replicas": 0, "paused": True}, **volumes) as stopped:
        assert look(change(IN_PLACE, consumers=(DATABASE, stopped))).verdict is Verdict.PLANNED


def test_who_may_only_read_the_vault_is_refused_before_anything_is_staged(
    unchanged: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = add_caller(unchanged.lab, unchanged.azure, {"Key Vault Secrets User": unchanged.vault_id})
    with monkeypatch.context() as patch:
        for name, value in caller.items():
            patch.setenv(name, value)
        seen, done = look(IN_PLACE), rotate(IN_PLACE)
    for ended in (seen, done):
        assert ended.verdict is Verdict.REFUSED
        causes = ended.causes
        assert [(type(cause), cause.code) for cause in causes] == [(AccessDenied, "ForbiddenByRbac")] * 2
        assert all("Assign the role Key Vault Secrets Officer on the vault" in cause.fix for cause in causes)


def test_who_may_not_write_the_server_is_refused_before_anything_is_staged(
    unchanged: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = unchanged.values(SERVER)
    roles = {"Key Vault Secrets Officer": unchanged.vault_id, "Reader": unchanged.server_id}
    caller = add_caller(unchanged.lab, unchanged.azure, roles)
    with monkeypatch.context() as patch:
        for name, value in caller.items():
            patch.setenv(name, value)
        ended = rotate(SERVER)
    assert ended.verdict is Verdict.REFUSED
    assert isinstance(ended.error, Refused)
    assert ended.error.seen == "no permission Microsoft.DBforPostgreSQL/flexibleServers/write"
    assert "Assign the role Contributor on the server" in ended.error.fix
    assert unchanged.values(SERVER) == before


def test_files_that_the_caller_may_not_read_are_proven_by_the_drivers_word_and_said_so(
    world: World, found: list[str]
) -> None:
    with bound(world, *(name for name in ROLE_NAMES if name not in (FILES, RELOADS))):
        ended = rotate(IN_PLACE, sync="wait")
    assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
    (warning,) = found
    assert warning.startswith("warning: The files in the pod cannot be read")
    assert 'cannot get resource "pods/exec"' in warning
    world.assert_well()


def test_files_in_a_container_without_the_tool_are_unread_and_not_different(world: World) -> None:
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    container = {
        "name": "bare",
        "image": "busybox:1",
        "command": ["/bin/sh", "-c", "while :; do /bin/sleep 1; done"],
        "env": [{"name": "PATH", "value": "/nowhere"}],
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    world.cluster.request("POST", pods, {}, {"metadata": POD, "spec": spec})
    try:
        seen = follow(world.cluster, pods, {"labelSelector": "app=bare"}, SECONDS)
        assert any(pod["status"].get("phase") == "Running" for found, _ in seen for pod in found.values())
        with pytest.raises(Unverified, match="executable file not found") as caught:
            find_differing_files(world.cluster, NAMESPACE, "bare", {"/mederma/password": "x"})
    finally:
        world.cluster.delete(f"{pods}/bare", gracePeriodSeconds="0")
    assert caught.value.code == "FilesUnread"


def test_a_change_that_an_admission_policy_refuses_is_found_by_trying_it(unchanged: World) -> None:
    """A Secret that is immutable stands for every rule of the API server that no access review knows."""
    secrets = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    data = unchanged.cluster.get(f"{secrets}/{DATABASE.delivery.synced_secret}")["data"]
    unchanged.cluster.request("POST", secrets, {}, {"metadata": {"name": "fixed"}, "data": data, "immutable": True})
    classes = f"/apis/secrets-store.csi.x-k8s.io/v1/namespaces/{NAMESPACE}/secretproviderclasses"
    made = unchanged.cluster.get(f"{classes}/{DATABASE.delivery.secret_provider_class}")
    made["metadata"] = {"name": "fixed"}
    made["spec"]["secretObjects"][0]["secretName"] = "fixed"
    unchanged.cluster.request("POST", classes, {}, made)
    delivery = DATABASE.delivery.model_copy(update={"secret_provider_class": "fixed", "synced_secret": "fixed"})
    try:
        with deployed(unchanged, "fixed", spec={"replicas": 0}, delivery=delivery) as fixed:
            ended = look(change(IN_PLACE, consumers=(DATABASE, fixed)))
    finally:
        unchanged.cluster.delete(f"{classes}/fixed")
        unchanged.cluster.delete(f"{secrets}/fixed")
    assert ended.verdict is Verdict.REFUSED
    (denied,) = (cause for cause in ended.causes if cause.code == Code.CHANGE_DENIED)
    assert denied.name == fixed.key
    assert "field is immutable" in denied.seen
