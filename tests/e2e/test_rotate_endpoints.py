"""Databases that are reached in other ways: a Service inside the cluster, a pooler in front, a private server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from azure.mgmt.postgresqlflexibleservers import PostgreSQLManagementClient, models

from infra.credentials import ClusterIpEndpoint, Strategy
from infra.errors import Code, DatabaseUnreachable
from infra.kubernetes.services import get_cluster_address
from infra.rotation.execution import Verdict
from testing.rotating import NAMESPACE, World, fault, rotate
from testing.walkthrough import DEXTER, SERVER, change

INSIDE = ClusterIpEndpoint(kind="cluster-ip", namespace=NAMESPACE, service="dexter-service")
BY_SERVICE = change(DEXTER, strategy=Strategy.IN_PLACE, endpoint=INSIDE, pooler=DEXTER.endpoint)


def test_a_service_inside_the_cluster_is_refused_from_outside_and_rotated_through_a_tunnel(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, versions = world.values(), world.versions()
    refused = rotate(BY_SERVICE, sync="express")
    assert refused.verdict is Verdict.REFUSED
    assert type(refused.error) is DatabaseUnreachable
    assert refused.error.cause is not None
    assert refused.error.cause.code == Code.INSIDE_ONLY
    assert world.versions() == versions
    ip, port = get_cluster_address(world.cluster, NAMESPACE, INSIDE.service)
    routes = f"{INSIDE.host}:{port}:{ip}:{port},{os.environ.get('KEYTURN_RESOLVE', '')}"
    monkeypatch.setenv("KEYTURN_RESOLVE", routes)
    ended = rotate(BY_SERVICE, sync="express")
    assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
    assert world.logs_in(world.values())
    assert not world.logs_in(before)


@contextmanager
def private_access(world: World) -> Iterator[None]:
    """Take the server's public access away for a block."""
    for access in ("Disabled", "Enabled"):
        properties = models.ServerPropertiesForPatch(network=models.Network(public_network_access=access))
        with world.azure.management(PostgreSQLManagementClient) as client:
            group, name = SERVER.endpoint.resource_group, SERVER.endpoint.server
            client.servers.begin_update(group, name, models.ServerForPatch(properties=properties)).result()
        if access == "Disabled":
            yield


@pytest.mark.owner
def test_a_server_with_private_access_that_is_not_reached_is_refused_as_such(world: World) -> None:
    versions = world.versions()
    with private_access(world), fault(world.lab, "database-down"):
        ended = rotate(SERVER)
    assert ended.verdict is Verdict.REFUSED
    assert type(ended.error) is DatabaseUnreachable
    assert ended.error.cause is not None
    assert ended.error.cause.code == Code.PRIVATE_SERVER
    assert "virtual network" in ended.error.cause.fix
    assert world.versions() == versions
