"""Where a credential's endpoint leads: a Service from inside and outside, a host, a Flexible Server."""

from types import SimpleNamespace
from typing import Any

import pytest

from infra.credentials import ClusterRef, Endpoint, FlexibleServerEndpoint, HostEndpoint, SignIn
from infra.credentials.endpoints import ClusterIpEndpoint, LoadBalancerEndpoint
from infra.errors import Code, DatabaseUnreachable, NotFound
from infra.postgres.addresses import Address, Tls, find_place
from infra.settings import Settings
from tasks.context import find_address
from tasks.preflight.rights import list_needs
from testing.cluster_world import World
from testing.walkthrough import DEXTER, change

PORTS = [{"name": "postgres", "port": 5432}, {"name": "pooler", "port": 6432}]


def find(world: World, endpoint: Endpoint, *, is_inside: bool = False, resolve: str = "") -> Address:
    cluster = ClusterRef(sign_in=SignIn.IN_CLUSTER) if is_inside else DEXTER.cluster
    credential = change(DEXTER, strategy="in-place", endpoint=endpoint, cluster=cluster, database="orders")
    access: Any = SimpleNamespace(credential=credential, cluster=world.cluster, settings=Settings(resolve=resolve))
    return find_address(access, endpoint)


def put_service(world: World, kind: str, **fields: Any) -> dict[str, Any]:
    spec = {"type": kind, "ports": PORTS, "selector": {"app": "db"}, **fields}
    return world.put("services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": spec})


def inside(world: World, **fields: Any) -> ClusterIpEndpoint:
    return ClusterIpEndpoint(kind="cluster-ip", namespace=world.namespace, service="db", **fields)


def test_a_worker_in_the_cluster_reaches_a_service_by_its_address_there_and_any_of_its_ports(world: World) -> None:
    own = put_service(world, "ClusterIP")["spec"]["clusterIP"]
    found = find(world, inside(world), is_inside=True)
    assert (found.host, found.port, found.tls) == (f"db.{world.namespace}.svc", 5432, Tls.DISABLE)
    assert find_place(found, Settings()) == (own, 5432)
    secured = find(world, inside(world, port=6432, tls="verify-full"), is_inside=True)
    assert (secured.port, secured.tls, secured.database) == (6432, Tls.VERIFY_FULL, "orders")


def test_a_headless_service_is_reached_by_its_name(world: World) -> None:
    put_service(world, "ClusterIP", clusterIP="None")
    found = find(world, inside(world), is_inside=True)
    assert find_place(found, Settings()) == (f"db.{world.namespace}.svc", 5432)


def test_a_service_that_is_reached_inside_alone_is_refused_outside_and_says_so(world: World) -> None:
    put_service(world, "ClusterIP")
    with pytest.raises(DatabaseUnreachable) as caught:
        find(world, inside(world))
    assert caught.value.code == Code.INSIDE_ONLY
    assert f"db.{world.namespace}.svc:5432" in caught.value.seen
    assert "sign_in: in-cluster" in caught.value.fix


def test_a_tunnel_to_a_service_is_used_from_outside(world: World) -> None:
    put_service(world, "ClusterIP")
    resolve = f"*.{world.namespace}.svc:5432:127.0.0.1:15432"
    found = find(world, inside(world), resolve=resolve)
    assert find_place(found, Settings(resolve=resolve)) == ("127.0.0.1", 15432)


@pytest.mark.parametrize("kind", ["ClusterIP", "LoadBalancer"])
def test_a_port_that_the_service_does_not_have_is_refused(world: World, kind: str) -> None:
    put_service(world, kind)
    if kind == "LoadBalancer":
        world.set_status("services", "db", {"loadBalancer": {"ingress": [{"ip": "127.77.200.1"}]}})
    fields: dict[str, Any] = {"namespace": world.namespace, "service": "db", "port": 5433}
    endpoint = LoadBalancerEndpoint(**fields) if kind == "LoadBalancer" else inside(world, port=5433)
    with pytest.raises(NotFound) as caught:
        find(world, endpoint, is_inside=True)
    assert caught.value.seen == "it has 5432, 6432"


def test_a_load_balancer_is_reached_by_any_of_its_ports(world: World) -> None:
    put_service(world, "LoadBalancer")
    world.set_status("services", "db", {"loadBalancer": {"ingress": [{"ip": "127.77.200.1"}]}})
    endpoint = LoadBalancerEndpoint(namespace=world.namespace, service="db", port=6432, tls=Tls.REQUIRE)
    assert find(world, endpoint) == Address("127.77.200.1", 6432, "orders", Tls.REQUIRE)


def test_a_host_and_a_flexible_server_are_reached_by_their_names(world: World) -> None:
    host = HostEndpoint(kind="host", host="pgbouncer.corp.example", port=6432)
    assert find(world, host) == Address("pgbouncer.corp.example", 6432, "orders", Tls.VERIFY_FULL)
    server = FlexibleServerEndpoint(server="orders", resource_group="orders-rg")
    assert find(world, server) == Address("orders.postgres.database.azure.com", 5432, "orders", Tls.VERIFY_FULL)


def test_the_rights_on_each_service_are_asked_for(world: World) -> None:
    pooler = inside(world)
    needs = list_needs(world.cluster, change(DEXTER, pooler=pooler, consumers=()))
    rights = [need.right for need in needs if need.role == "keyturn-endpoint"]
    asked = {(right.verb, right.namespace, right.name) for right in rights if right.resource == "services"}
    assert asked == {("get", world.namespace, "db"), ("get", "dexter", "dexter-service")}
