"""Charts under neutral names, on the lab: imported, completed by what a person decides, checked, and rotated."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clients import wait_for_no_pods

from flows.import_credentials import main
from infra.credentials import Credential, Login, load_inventory
from infra.kubernetes.deliveries.provider_classes import API, path_of
from infra.kubernetes.manifests import apply
from infra.kubernetes.workloads import open_workload
from infra.postgres.database import make_verifier
from infra.rotation.execution import Verdict
from tasks.context import opened
from testing.charts import CHARTS, USERNAME, Chart
from testing.external_secrets import API as EXTERNAL
from testing.external_secrets import install_operator
from testing.manifest_values import VALUES
from testing.reading import let_read
from testing.rotating import NAMESPACE, World, rotate
from testing.walkthrough import DATABASE, DEXTER, change

pytestmark = pytest.mark.owner
FIRST, SECONDS = Login(USERNAME, "First-Password-1"), 60
CHEAP = "password-alone"
"""The one that `make test` rotates; the others are slow tests."""
MARKED = [pytest.param(chart, id=chart.name, marks=() if chart.name == CHEAP else pytest.mark.slow) for chart in CHARTS]
KINDS = {
    "Deployment": "/apis/apps/v1/{}deployments",
    "StatefulSet": "/apis/apps/v1/{}statefulsets",
    "DaemonSet": "/apis/apps/v1/{}daemonsets",
    "CronJob": "/apis/batch/v1/{}cronjobs",
    "ExternalSecret": f"/apis/{EXTERNAL}/{{}}externalsecrets",
    "SecretStore": f"/apis/{EXTERNAL}/{{}}secretstores",
    "SecretProviderClass": API + "/{}secretproviderclasses",
}
"""In the order in which they are deleted: first what reads."""


@contextmanager
def installed(world: World, chart: Chart) -> Iterator[None]:
    """Have a chart in the cluster, its login in the vault and in the database for a block."""
    address, names = world.database.address, list(chart.values)
    parameters = world.cluster.get(path_of(NAMESPACE, DATABASE.every_delivery[0].source))["spec"]["parameters"]
    values = {"CLIENT_ID": parameters["clientID"], "TENANT_ID": parameters["tenantID"], "VAULT": DEXTER.vault}
    documents = chart.documents(VALUES | values | {"NAMESPACE": NAMESPACE})
    with world.session() as administrator:
        administrator.execute(f"CREATE ROLE {USERNAME} LOGIN PASSWORD '{make_verifier(administrator, FIRST)}'")
    for name, value in chart.render(FIRST, address.host, address.port, address.database).items():
        world.vault.write(name, value, {})
        let_read(change(DEXTER, strategy="in-place", secrets={"kind": "password", "username": "x", "password": name}))
    try:
        install_operator(world.cluster)
        apply(world.cluster, documents)
        yield
    finally:
        for kind, path in KINDS.items():
            for name in [item["metadata"]["name"] for item in documents if item["kind"] == kind]:
                world.cluster.delete(path.format(f"namespaces/{NAMESPACE}/") + f"/{name}")
                wait_for_no_pods(world, name)
        for name in names:
            world.vault.delete(name)
            world.vault.purge(name)
        with world.session() as administrator:
            administrator.execute(f"DROP ROLE {USERNAME}")


def newest(credential: Credential) -> Login:
    """Return what the vault's newest versions hold."""
    with opened(credential) as access:
        return access.read_newest()


@pytest.mark.parametrize("chart", MARKED)
def test_a_chart_is_imported_checked_and_rotated(
    chart: Chart, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with installed(world, chart):
        group, cluster = DEXTER.cluster.in_azure
        assert main([cluster, group, "--namespace", NAMESPACE]) == 0
        path = tmp_path / "credentials.yaml"
        path.write_text(chart.complete(capsys.readouterr().out, DEXTER.endpoint.model_dump(mode="json")))
        inventory = load_inventory(path)
        assert inventory.list_problems() == ()
        found = inventory.get(chart.credential)
        for consumer in found.consumers:
            if not consumer.runs_to_an_end:
                open_workload(world.cluster, consumer.workload).wait_for_ready(SECONDS)
        ended = rotate(found, sync="express", data_loss="no")
        assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
        login = newest(found)
        assert (login.username, login.password != FIRST.password) == (USERNAME, True)
        assert world.logs_in((login.username, login.password))
        assert not world.logs_in((FIRST.username, FIRST.password))
        address = world.database.address
        wanted = chart.render(login, address.host, address.port, address.database)
        assert {name: world.vault.read(name) for name in chart.values} == wanted
