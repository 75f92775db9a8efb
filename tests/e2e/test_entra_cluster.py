"""Rotations in an AKS cluster without local accounts: the flows' own Azure credential signs in, without kubelogin."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerservice import ContainerServiceClient, models

from infra.azure.client import Azure
from infra.credentials import Credential
from infra.errors import AccessDenied, Code, InvalidInput
from infra.kubernetes import kubeconfig
from infra.rotation.execution import Verdict
from infra.settings import Settings
from lab.control import lifecycle
from tasks.context import open_cluster
from tasks.preflight.rights import CONSUMERS, DISCOVERY, ENDPOINT, LOCK, PINS
from testing import bare
from testing.inventory import listed
from testing.labs import RunningLab, make_state_folder
from testing.rotating import NAMESPACE, install_stack, options_with, rotate
from testing.rotator import ROLE_NAMES, add_account, bind
from testing.walkthrough import DEXTER, change

IN_PLACE = change(DEXTER, strategy="in-place")
GROUP, NAME = IN_PLACE.cluster.in_azure
WRITER = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb"
ADMIN = "3498e952-d568-435e-9b2c-8d77e338d7f7"
CLUSTER_ADMIN = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
CLASSES = {"secretproviderclasses", "secretproviderclasspodstatuses"}
CUSTOM_RESOURCES = CLASSES | {"externalsecrets", "secretstores", "rollouts"}
IN_PLACE_ROLES = tuple(name for name in ROLE_NAMES if name != PINS)
"""What docs/security.md lists for a rotation in place."""

Assign = Callable[..., None]


def plan() -> bare.Ended:
    """Plan a rotation."""
    return bare.run_rotation(listed(IN_PLACE), options_with(sync="express"), dry_run=True)


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    """A lab of its own: a cluster that knows Entra ID never forgets it."""
    options = lifecycle.StartOptions(state=make_state_folder(), poll_interval_seconds=2, operation_seconds=0.05)
    with pytest.MonkeyPatch.context() as patch, lifecycle.attached(options) as info:
        running = RunningLab(options, info)
        for name, value in running.env.items():
            patch.setenv(name, value)
        install_stack()
        with Azure(Settings()) as azure:
            disable_local_accounts(azure)
        yield running


def disable_local_accounts(azure: Azure) -> None:
    with azure.management(ContainerServiceClient) as client:
        cluster = client.managed_clusters.get(GROUP, NAME)
        assert cluster.properties
        cluster.properties.aad_profile = models.ManagedClusterAADProfile(managed=True, enable_azure_rbac=True)
        cluster.properties.disable_local_accounts = True
        client.managed_clusters.begin_create_or_update(GROUP, NAME, cluster).result()


@pytest.fixture
def azure(lab: RunningLab) -> Iterator[Azure]:
    lab.faults.clear_faults()
    with Azure(Settings()) as opened:
        yield opened
    lab.faults.clear_faults()


@pytest.fixture
def assign(azure: Azure) -> Iterator[Assign]:
    """Gives the caller a role in the cluster until the test is over."""
    made: list[tuple[str, str]] = []
    cluster = azure.resource_id(GROUP, "Microsoft.ContainerService/managedClusters", NAME)
    with azure.management(AuthorizationManagementClient) as client:

        def give(role: str, below: str = f"/namespaces/{NAMESPACE}") -> None:
            definition = f"{azure.resource_id(GROUP, 'x', 'x').partition('/resourceGroups')[0]}/providers/"
            definition += f"Microsoft.Authorization/roleDefinitions/{role}"
            made.append((cluster + below, str(uuid4())))
            who = {"principalId": azure.get_caller().object_id, "principalType": "ServicePrincipal"}
            body: Any = {"properties": {"roleDefinitionId": definition, **who}}
            client.role_assignments.create(*made[-1], body)

        yield give
        for scope, name in made:
            client.role_assignments.delete(scope, name)


def as_new(cluster: models.ManagedCluster) -> models.ManagedCluster:
    """The body of another cluster like this one."""
    assert cluster.properties
    kept = ("dns_prefix", "agent_pool_profiles", "oidc_issuer_profile")
    properties = models.ManagedClusterProperties(**{name: getattr(cluster.properties, name) for name in kept})
    identity = models.ManagedClusterIdentity(type="SystemAssigned")
    return models.ManagedCluster(location=cluster.location, identity=identity, properties=properties)


def test_aks_hands_out_a_kubeconfig_for_kubelogin_and_no_static_credential(azure: Azure) -> None:
    [user] = azure.get_kubeconfig(IN_PLACE.cluster)["users"]
    assert (user["user"].keys(), user["user"]["exec"]["command"]) == ({"exec"}, "kubelogin")
    with azure.management(ContainerServiceClient) as client, pytest.raises(Exception, match="static credential"):
        client.managed_clusters.list_cluster_admin_credentials(GROUP, NAME)


def test_the_owner_of_the_subscription_may_nothing_in_the_cluster(azure: Azure) -> None:
    ended = plan()
    assert ended.verdict is Verdict.REFUSED
    assert {(type(cause), cause.code) for cause in ended.causes} == {(AccessDenied, Code.RIGHTS_MISSING)}
    who = f"--user={azure.get_caller().object_id}"
    fixes = {f"--clusterrole={role} {who} -n {NAMESPACE}" for role in (CONSUMERS, ENDPOINT, LOCK, DISCOVERY)}
    assert {fix for fix in fixes for cause in ended.causes if fix in cause.fix} == fixes


def test_the_role_writer_leaves_out_custom_resources(assign: Assign) -> None:
    assign(WRITER)
    ended = plan()
    assert ended.verdict is Verdict.REFUSED
    assert {(type(cause), cause.code) for cause in ended.causes} == {(AccessDenied, Code.RIGHTS_MISSING)}
    missing = [right for cause in ended.causes for right in cause.seen.partition(": ")[2].split(", ")]
    resources = {right.split()[1] for right in missing}
    assert "secretproviderclasses" in resources
    assert resources <= CUSTOM_RESOURCES


def test_a_rotation_ends_well_with_the_role_admin_on_the_namespace(assign: Assign) -> None:
    assign(ADMIN)
    assert rotate(IN_PLACE, sync="express").verdict is Verdict.ROTATED


def test_the_token_is_renewed_while_a_rotation_runs(lab: RunningLab, assign: Assign) -> None:
    assign(ADMIN)
    lab.faults.switch("tokens-short-lived")
    ended = rotate(IN_PLACE, sync="wait")
    assert ended.verdict is Verdict.ROTATED, ended.message


def test_a_kubeconfig_with_kubelogin_needs_no_kubelogin_either(
    azure: Azure, assign: Assign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(yaml.safe_dump(dict(azure.get_kubeconfig(IN_PLACE.cluster))))
    monkeypatch.setenv("KEYTURN_KUBECONFIG", str(tmp_path / "config"))
    assign(ADMIN)
    ended = plan()
    assert ended.verdict is Verdict.PLANNED, ended.message


def test_a_kubeconfig_of_another_cluster_is_refused_before_it_is_spoken_to(
    azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = yaml.safe_load(yaml.safe_dump(dict(azure.get_kubeconfig(IN_PLACE.cluster))))
    server = content["clusters"][0]["cluster"]["server"]
    content["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KEYTURN_KUBECONFIG", str(tmp_path / "config"))
    ended = plan()
    assert ended.verdict is Verdict.REFUSED
    assert type(ended.error) is InvalidInput
    assert ended.error.code == "WrongCluster"
    assert ended.error.name == f"context {NAME} of {tmp_path}/config"
    assert ended.error.seen == f"it leads to 127.0.0.1, but {NAME} answers at {server[8:-4]}"


@pytest.fixture
def worker(azure: Azure, assign: Assign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a pod of the cluster: it has the files and variables that the kubelet gives to one."""
    assign(CLUSTER_ADMIN, "")
    with closing(open_cluster(IN_PLACE.cluster, azure)) as cluster:
        context = add_account(cluster)
        bind(cluster, NAMESPACE, IN_PLACE_ROLES)
    (tmp_path / "token").write_text(context.user["token"])
    (tmp_path / "ca.crt").write_bytes(context.data(context.cluster, "certificate-authority-data") or b"")
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", context.host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")


def in_cluster(**names: str) -> Credential:
    return change(IN_PLACE, cluster={"sign_in": "in-cluster", **names})


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("names", [{}, {"name": NAME, "resource_group": GROUP}], ids=["unnamed", "named"])
def test_a_pod_rotates_by_its_service_account_with_the_rights_of_a_rotation(names: dict[str, str]) -> None:
    ended = rotate(in_cluster(**names), sync="express")
    assert ended.verdict is Verdict.ROTATED, ended.message


@pytest.mark.usefixtures("worker")
def test_a_pod_of_another_cluster_is_refused(azure: Azure) -> None:
    with azure.management(ContainerServiceClient) as client:
        other = client.managed_clusters.get(GROUP, NAME)
        client.managed_clusters.begin_create_or_update(GROUP, "other", as_new(other)).result()
    credential = in_cluster(name="other", resource_group=GROUP)
    ended = bare.run_rotation(listed(credential), options_with(sync="express"), dry_run=True)
    assert ended.verdict is Verdict.REFUSED
    assert (type(ended.error), ended.code) == (InvalidInput, "WrongCluster")
    assert "its token is issued by https://" in ended.message
