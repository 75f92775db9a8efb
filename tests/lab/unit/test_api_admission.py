"""What happens to new objects before they are stored, without HTTP."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from lab.cluster.api.errors import ApiError
from lab.cluster.api.kinds.builtin import registry
from lab.cluster.api.kinds.services import NODE_PORTS, Allocator
from lab.cluster.api.patches.ownership import Manager
from lab.cluster.api.rest.admission import Admission
from lab.cluster.api.rest.writes import Write, Writer
from lab.cluster.api.store import Store

KINDS = registry()
WRITE = Write(Manager("test"))


def make_writer() -> Writer:
    """A writer over a store with the namespace `a` and its service account `default`."""
    store = Store()
    allocator = Allocator("127.9.100", random.Random(1))  # noqa: S311
    writer = Writer(store, Admission(store, KINDS, allocator), lambda: datetime(2024, 1, 1, tzinfo=UTC))
    writer.create(KINDS.get("", "namespaces"), "", {"metadata": {"name": "a"}}, WRITE)
    account = {"metadata": {"name": "default", "annotations": {"client-id": "x"}}}
    writer.create(KINDS.get("", "serviceaccounts"), "a", account, WRITE)
    return writer


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i:1", "resources": {"limits": {"cpu": "1"}}}]
    return {"metadata": {"name": "one"}, "spec": {"containers": containers} | spec}


def test_mutators_see_the_finished_pod_and_its_account_and_return_another() -> None:
    writer = make_writer()
    seen: list[tuple[str, str]] = []

    def mutate(new: dict[str, Any], account: dict[str, Any]) -> dict[str, Any]:
        seen.append((new["spec"]["volumes"][0]["name"][:15], account["metadata"]["annotations"]["client-id"]))
        account["metadata"]["annotations"].clear()
        return new | {"metadata": new["metadata"] | {"labels": {"mutated": "yes"}}}

    writer.admission.mutators.append(mutate)
    made = writer.create(KINDS.get("", "pods"), "a", pod(), WRITE).obj
    assert (made["metadata"]["labels"], seen) == ({"mutated": "yes"}, [("kube-api-access", "x")])
    account = writer.store.find(KINDS.get("", "serviceaccounts"), "a", "default")
    assert account is not None
    assert account.obj["metadata"]["annotations"] == {"client-id": "x"}


def test_a_mutation_that_breaks_rules_is_refused() -> None:
    writer = make_writer()
    writer.admission.mutators.append(lambda new, _: new | {"spec": new["spec"] | {"containers": []}})
    with pytest.raises(ApiError) as error:
        writer.create(KINDS.get("", "pods"), "a", pod(), WRITE)
    assert (error.value.code, error.value.reason) == (422, "Invalid")
    assert writer.store.items(KINDS.get("", "pods")) == []


def test_an_account_without_a_token_gives_none() -> None:
    writer = make_writer()
    made = writer.create(KINDS.get("", "pods"), "a", pod(automountServiceAccountToken=False), WRITE).obj
    assert "volumes" not in made["spec"]


def test_limits_are_requests_unless_said_otherwise() -> None:
    made = make_writer().create(KINDS.get("", "pods"), "a", pod(), WRITE).obj
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1"}
    assert made["status"]["qosClass"] == "Burstable"


def test_addresses_and_ports_are_given_once() -> None:
    writer = make_writer()
    found = []
    for number in range(20):
        spec = {"type": "NodePort", "ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]}
        body = {"metadata": {"name": f"s{number}"}, "spec": spec}
        found.append(writer.create(KINDS.get("", "services"), "a", body, WRITE).obj["spec"])
    addresses = {spec["clusterIP"] for spec in found}
    ports = {port["nodePort"] for spec in found for port in spec["ports"]}
    assert (len(addresses), len(ports)) == (20, 40)
    assert all(address.startswith("127.9.100.") for address in addresses)
    assert all(port in NODE_PORTS for port in ports)


def test_a_deleted_service_gives_its_address_back() -> None:
    writer, services = make_writer(), KINDS.get("", "services")
    body = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}}
    first = writer.create(services, "a", body | {"metadata": {"name": "s"}}, WRITE)
    writer.store.remove(first)
    again = writer.create(services, "a", {"metadata": {"name": "t"}, "spec": {"ports": [{"port": 1}]}}, WRITE)
    assert again.obj["spec"]["clusterIP"] == first.obj["spec"]["clusterIP"]
