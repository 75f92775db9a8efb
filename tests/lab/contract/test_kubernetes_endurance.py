"""What the small API server must endure: bodies of any shape, readers that do not read, and an expired log."""

import copy
import random
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes_world import APPLY, TABLE, Api, Json, config_map, deployment, template, widget_definition

from testing.clusters import SmallCluster, small_cluster
from testing.waiting import eventually

JUNK: list[Any] = [None, 1, -1, 1.5, "", "x", True, [], {}, [None], [{}], {"a": None}, ["x"], {"x": "y"}, 10**20]
CASES = 400
DEFAULT = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
DOCUMENTS: dict[str, Json] = {
    f"{APPS}/deployments": deployment("web"),
    f"{DEFAULT}/pods": {"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": template()["spec"]},
    f"{DEFAULT}/services": {"metadata": {"name": "p"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 1}]}},
    f"{DEFAULT}/secrets": {"metadata": {"name": "p"}, "data": {"a": "Yg=="}, "stringData": {"c": "d"}, "type": "x"},
    f"{DEFAULT}/endpoints": {
        "metadata": {"name": "p"},
        "subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 1}]}],
    },
    "/api/v1/nodes": {
        "metadata": {"name": "p"},
        "status": {"addresses": [{"type": "InternalIP", "address": "1.2.3.4"}]},
    },
    "/apis/storage.k8s.io/v1/csidrivers": {"metadata": {"name": "p"}, "spec": {"tokenRequests": [{"audience": "a"}]}},
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings": {
        "metadata": {"name": "p"},
        "roleRef": {"kind": "Role", "name": "x"},
        "subjects": [{"kind": "User", "name": "x"}],
    },
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": widget_definition(),
}


@pytest.fixture(scope="module")
def small() -> Iterator[SmallCluster]:
    with small_cluster(watch_queue_length=20) as cluster:
        Api(cluster.kubeconfig).create(f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "default"}})
        yield cluster


@pytest.fixture
def api(small: SmallCluster) -> Api:
    return Api(small.kubeconfig)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in parts:
        yield from places(item, (*path, key))


def with_junk(document: Json, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    result = copy.deepcopy(document)
    inner: Any = result
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return result


def test_no_body_makes_the_server_fail(api: Api) -> None:
    source = random.Random(7)  # noqa: S311
    for _ in range(CASES):
        path, document = source.choice(list(DOCUMENTS.items()))
        body = with_junk(document, source.choice(list(places(document))), source.choice(JUNK))
        made = api("POST", path, body, accept=TABLE)
        assert made.code < 500 or "resourceVersion should not be set" in made.message, (path, body, made)
        if made.code != 201:
            continue
        name = made.body["rows"][0]["object"]["metadata"]["name"]
        assert api("GET", path, accept=TABLE).code == 200, (path, body)
        applied = api("PATCH", f"{path}/{name}?fieldManager=me&force=true", body, content_type=APPLY)
        assert applied.code < 500 or "typed patch object" in applied.message, (path, body, applied)
        api("DELETE", f"{path}/{name}", {"gracePeriodSeconds": 0})


@pytest.mark.parametrize("query", ["limit=x", "watch=true&timeoutSeconds=x", "continue=x", "resourceVersion=x"])
def test_a_broken_query_is_a_bad_request(api: Api, query: str) -> None:
    answer = api("GET", f"{DEFAULT}/secrets?{query}")
    assert (answer.code, answer.reason) == (400, "BadRequest")


def test_a_large_body_is_refused(api: Api) -> None:
    answer = api("POST", f"{DEFAULT}/configmaps", config_map("large", a="x" * (3 << 20)))
    assert (answer.code, answer.reason) == (413, "RequestEntityTooLarge")


def test_a_watcher_that_does_not_read_is_cut_off(small: SmallCluster, api: Api) -> None:
    where = urlsplit(small.server.url)
    assert where.hostname and where.port
    context = ssl.create_default_context(cadata=small.ca_pem)
    before = small.call(lambda: small.server.watchers)
    with socket.create_connection((where.hostname, where.port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with context.wrap_socket(raw, server_hostname=where.hostname) as lazy:
            head = (
                f"GET {DEFAULT}/configmaps?watch=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n\r\n"
            )
            lazy.sendall(head.encode())
            eventually(lambda: small.call(lambda: small.server.watchers) == before + 1)
            for number in range(200):
                api.create(f"{DEFAULT}/configmaps", config_map(f"big-{number}", a="x" * 100_000))
                if small.call(lambda: small.server.watchers) == before:
                    break
            eventually(lambda: small.call(lambda: small.server.watchers) == before)


def test_expired_watches_end_and_the_past_is_gone(small: SmallCluster, api: Api) -> None:
    made = api.create(f"{DEFAULT}/secrets", {"metadata": {"name": "one"}})
    version = made["metadata"]["resourceVersion"]
    with api.watch(f"{DEFAULT}/secrets", resourceVersion=version) as events:
        api.patch(f"{DEFAULT}/secrets/one", {"data": {"a": "Yg=="}})
        assert next(events)["type"] == "MODIFIED"
        small.call(small.server.expire_watches)
        error = next(events)
        assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert list(events) == []
    with api.watch(f"{DEFAULT}/secrets", resourceVersion=version) as events:
        assert next(events)["object"]["code"] == 410
    old = api("GET", f"{DEFAULT}/secrets?resourceVersion={version}&resourceVersionMatch=Exact")
    assert (old.code, old.reason) == (410, "Expired")


def test_a_page_of_a_forgotten_list_is_gone(small: SmallCluster, api: Api) -> None:
    for name in ("p1", "p2", "p3"):
        api.create(f"{DEFAULT}/secrets", {"metadata": {"name": name}})
    first = api.get(f"{DEFAULT}/secrets?limit=1")
    api("DELETE", f"{DEFAULT}/secrets/p3")
    small.call(small.server.expire_watches)
    answer = api("GET", f"{DEFAULT}/secrets?limit=1&continue={first['metadata']['continue']}")
    assert (answer.code, answer.reason) == (410, "Expired")
    assert answer.message.startswith("The provided continue parameter is too old to display a consistent list result.")
