"""The walkthrough's own kubectl, curl and psql lines, unchanged, and what the lab shows for them."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import Terminal
from walkthrough_screens import (
    ACCOUNTS,
    APPLIED,
    BLOB_CURL,
    DEMO,
    DESCRIBED,
    DRIVERS,
    METER,
    PODS,
    SECRET_CURL,
    SECRETS,
    SERVICES,
    cells,
    database_rows,
    listed,
    server_rows,
    shape,
)

from infra.azure.identities import Identities
from infra.azure.machines import MachineOutput, Machines
from infra.kubernetes.manifests import fill
from testing.rotating import STACK, Pair, World
from testing.walkthrough import DEXTER, SERVER

pytestmark = pytest.mark.owner

OLD, NEW = ("dexter", "Admin123"), ("therema", "Mashroof123")
POLLS, POLL_SECONDS = 300, 0.2


class Desk:
    """Somebody who types what the walkthrough types.

    Args:
        world: the lab.
        home: where the manifests are.
    """

    def __init__(self, world: World, home: Path) -> None:
        self.world, self.terminal, self.applied = world, Terminal(world.lab, home), ""

    def type(self, command: str, *answers: tuple[str, str]) -> str:
        """What a line leaves on the screen."""
        return self.terminal.type(command, answers).text

    def pod(self, name: str) -> str:
        """The full name of the one pod that begins with `name`."""
        rows = cells(self.type("kubectl get pods -n dexter"))
        (found,) = [row[0] for row in rows if row[0].startswith(name)]
        return found

    def address(self) -> str:
        """The address to log in at, as people read it off the table."""
        return cells(self.type("kubectl get svc -n dexter"))[1][3]

    def read(self, name: str) -> str:
        """A mounted file. kubectl may tell of a window's size that it sent once the command had ended."""
        shown = self.type(f"kubectl exec -it {self.pod('postgres-pod-kv')} bash -n dexter -- cat /mederma/{name}")
        return re.sub(r'E\d{4} [^\n]*"websocket: close sent"\n', "", shown)

    def log_in(self, user: str, password: str) -> str:
        """The screen of psql, in which `\\l` is typed."""
        answers = (("Password:", password), (f"\n{user}=# ", "\\l"), ("rows)", "\\q"))
        return self.type(f"psql -h {self.address()} -U {user} --password", *answers)

    def publish(self, values: Pair) -> None:
        """Write newer versions of both secrets, as the portal does it, and disable the older ones."""
        for name, value in zip(DEXTER.secrets.names, values, strict=True):
            newest = self.world.vault.write(name, value)
            for found in self.world.vault.list_versions(name):
                if found.enabled and found.version != newest.version:
                    self.world.vault.set_enabled(name, found.version, False)

    def wait_until_ready(self, old_pod: str = "") -> None:
        """Until the old pod is gone and the new ones run."""
        if old_pod:
            self.type(f"kubectl wait --for=delete pod/{old_pod} -n dexter --timeout=60s")
        for name in ("postgres-pod-kv", "get-storage"):
            said = self.type(f"kubectl rollout status deploy {name} -n dexter --timeout=60s")
            assert "successfully rolled out" in said


@pytest.fixture(scope="module")
def applied(stack: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A namespace that kubectl creates from both manifests; afterwards the flow deploy creates it again."""
    from flows.deploy import deploy

    desk = Desk(stack, tmp_path_factory.mktemp("home"))
    identity = Identities(stack.azure, STACK.resource_group).get(STACK.identity)
    values = {
        **{"CLIENT_ID": identity.client_id, "TENANT_ID": identity.tenant_id, "VAULT": STACK.vault},
        **{"USERNAME_SECRET": DEXTER.secrets.username, "PASSWORD_SECRET": DEXTER.secrets.password},
        **{"NAMESPACE": STACK.namespace, "SERVICE_ACCOUNT": STACK.service_account},
        **{"CLOUD": "AzurePublicCloud", "BLOB_DOMAIN": "blob.core.windows.net"},
        "GET_STORAGE_IMAGE": "chester2004/get-storage",
    }
    for name in ("dexter.yaml", "medoko.yaml"):
        (desk.terminal.home / name).write_text(fill(name, (STACK.folder / name).read_text(), values))
    assert desk.type("kubectl delete namespace dexter") == 'namespace "dexter" deleted\n'
    desk.publish(OLD)
    try:
        desk.applied = desk.type("kubectl apply -f dexter.yaml") + desk.type("kubectl apply -f medoko.yaml")
        desk.wait_until_ready()
        yield desk
    finally:
        desk.type("kubectl delete namespace dexter")
        deploy(STACK.name, dry_run=False)


@pytest.fixture
def desk(applied: Desk, world: World) -> Desk:
    """The applied manifests, without faults from earlier tests."""
    return applied


def run_on_machine(world: World, script: str) -> MachineOutput:
    return Machines(world.azure, STACK.resource_group).run_command(STACK.virtual_machine, script)


def test_the_machine_reads_the_secret(world: World) -> None:
    printed = run_on_machine(world, SECRET_CURL)

    answer = json.loads(printed.stdout)
    assert list(answer) == ["value", "contentType", "id", "attributes", "tags"]
    assert (answer["value"], answer["contentType"]) == (world.vault.read("username"), "")
    assert set(answer["tags"]) <= {"rotation_id"}, "an earlier test may have rotated"
    newest = world.vault.get_latest("username").version
    assert answer["id"] == f"https://dexterkeyvault.vault.azure.net/secrets/username/{newest}"
    assert {"enabled": True, "recoveryLevel": "CustomizedRecoverable+Purgeable"}.items() <= answer["attributes"].items()
    assert set(answer["attributes"]) >= {"created", "updated"}
    assert cells(printed.stderr)[:2] == cells(METER)


def test_the_machine_reads_the_blob(world: World) -> None:
    printed = run_on_machine(world, BLOB_CURL)

    assert printed.stdout == DEMO
    assert cells(printed.stderr)[:2] == cells(METER)


def test_applying_the_manifests_says_what_was_created(desk: Desk) -> None:
    assert desk.applied == APPLIED + "deployment.apps/get-storage created\n"


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("secrets", SECRETS), ("csidriver", DRIVERS), ("sa", ACCOUNTS), ("pods", PODS), ("svc", SERVICES)],
)
def test_kubectl_get_prints_the_walkthroughs_table(desk: Desk, kind: str, shown: str) -> None:
    assert shape(desk.type(f"kubectl get {kind} -n dexter")) == shape(shown)


def test_describe_shows_lengths_and_no_values(desk: Desk) -> None:
    username, password = desk.world.values()

    screen = desk.type("kubectl describe secrets userpass -n dexter")

    assert cells(screen) == cells(DESCRIBED.format(username=len(username), password=len(password)))


def test_a_template_reads_the_secret_in_its_namespace_alone(desk: Desk) -> None:
    username, password = desk.world.values()

    missing = desk.type("kubectl get secrets/userpass --template={{.data.PASSWORD}} | base64 -d")

    assert missing == 'Error from server (NotFound): secrets "userpass" not found\n'
    read = "kubectl get secrets/userpass -n dexter --template={{{{.data.{}}}}} | base64 -d"
    assert desk.type(read.format("PASSWORD")) == password
    assert desk.type(read.format("USERNAME")) == username


def test_the_mounted_files_hold_the_vaults_values(desk: Desk) -> None:
    assert (desk.read("username"), desk.read("password")) == desk.world.values()


def test_psql_logs_in_through_the_load_balancer_and_lists_the_databases(desk: Desk) -> None:
    username, password = desk.world.values()

    screen = desk.log_in(username, password)

    assert re.search(r'^psql \(\d+\.\d+.*\)\nType "help" for help\.$', screen, re.MULTILINE)
    assert "List of databases\n" in screen
    assert listed(screen) == database_rows(username)
    assert "(4 rows)\n" in screen
    assert password not in screen


def test_psql_logs_in_to_the_flexible_server_over_tls_and_lists_the_databases(desk: Desk) -> None:
    terminal = desk.terminal
    if "namespaces are not allowed" in terminal.type("true", by_lab_run=True).text:
        pytest.skip("psql finds the server by /etc/hosts: this needs user namespaces, or root with CAP_SYS_ADMIN")
    _, password = desk.world.values(SERVER)
    command = "psql -h sonarqube-postgresql3.postgres.database.azure.com -d postgres -U dexter --password"

    answers = (("Password:", password), ("postgres=> ", "\\l"), ("rows)", "\\q"))
    screen = terminal.type(command, answers, by_lab_run=True).text

    assert "SSL connection (protocol: TLSv1.3, cipher: TLS_AES_256_GCM_SHA384, " in screen
    assert listed(screen) == server_rows()
    assert "(5 rows)\n" in screen


def test_curl_in_the_pod_saves_the_blob_to_a_file(desk: Desk) -> None:
    pod = desk.pod("get-storage")
    url = "http://localhost:8080/api/integrateakskvtachotacho/dexter/demo.txt"

    meter = desk.type(f"kubectl exec -it {pod} bash -n dexter -- curl {url} -o myfile")

    assert cells(meter)[:2] == cells(METER)
    assert re.search(r"100 +20 +100 +20 +0 +0 ", meter)
    assert desk.type(f"kubectl exec -it {pod} bash -n dexter -- cat myfile") == DEMO


def test_new_versions_reach_the_secret_and_after_scaling_the_database(desk: Desk) -> None:
    world, pause = desk.world, threading.Event()
    before, old_pod = world.values(), desk.pod("postgres-pod-kv")
    desk.publish(NEW)
    for _ in range(POLLS):
        if world.secret_holds(NEW):
            break
        pause.wait(POLL_SECONDS)
    read = "kubectl get secrets/userpass -n dexter --template={{{{.data.{}}}}} | base64 -d"
    assert (desk.type(read.format("USERNAME")), desk.type(read.format("PASSWORD"))) == NEW

    for replicas in (0, 1):
        scaled = desk.type(f"kubectl scale deploy postgres-pod-kv --replicas={replicas} -n dexter")
        assert scaled == "deployment.apps/postgres-pod-kv scaled\n"
    desk.wait_until_ready(old_pod)

    assert shape(desk.type("kubectl get pods -n dexter")) == shape(PODS)
    assert desk.pod("postgres-pod-kv") != old_pod
    assert (desk.read("username"), desk.read("password")) == NEW
    assert shape(desk.type("kubectl get svc -n dexter")) == shape(SERVICES)
    assert listed(desk.log_in(*NEW)) == database_rows(NEW[0])
    assert not world.logs_in(before)
    world.assert_well()
