"""Reading requests: paths, selectors, bodies and Accept headers."""

import pytest

from lab.cluster.api.discovery import AGGREGATED, wants_aggregated
from lab.cluster.api.errors import ApiError
from lab.cluster.api.kinds.builtin import registry
from lab.cluster.api.requests import RequestInfo, understand
from lab.cluster.api.rest.forms import Form
from lab.cluster.api.schema import protobuf
from lab.cluster.api.schema.decoding import conform, parse
from lab.cluster.api.selectors import parse_labels

SECRETS = registry().get("", "secrets")
KUBECTL = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/namespaces", {}, ("list", "", "namespaces", "", "")),
        ("GET", "/api/v1/namespaces/a", {}, ("get", "a", "namespaces", "a", "")),
        ("PUT", "/api/v1/namespaces/a/finalize", {}, ("update", "a", "namespaces", "a", "finalize")),
        ("GET", "/api/v1/namespaces/a/pods/p/log", {}, ("get", "a", "pods", "p", "log")),
        ("GET", "/apis/apps/v1/deployments", {"watch": "true"}, ("watch", "", "deployments", "", "")),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", {}, ("deletecollection", "a", "deployments", "", "")),
        ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name=p"}, ("list", "", "pods", "p", "")),
        ("PATCH", "/api/v1/nodes/n/status", {}, ("patch", "", "nodes", "n", "status")),
    ],
)
def test_a_path_says_what_is_asked(
    method: str, path: str, query: dict[str, str], expected: tuple[str, str, str, str, str]
) -> None:
    info = understand(method, path, query)
    assert (info.verb, info.namespace, info.resource, info.name, info.subresource) == expected
    assert info.is_resource


@pytest.mark.parametrize("path", ["/version", "/api", "/api/v1", "/apis/apps/v1", "/openapi/v3/api/v1"])
def test_other_paths_are_no_resources(path: str) -> None:
    assert understand("GET", path, {}) == RequestInfo("get", path)


@pytest.mark.parametrize(
    ("selector", "labels", "fits"),
    [
        ("a=1", {"a": "1"}, True),
        ("a==1,b", {"a": "1"}, False),
        ("a!=1", {}, True),
        ("a in (1, 2)", {"a": "2"}, True),
        ("a notin (1),!b", {"a": "2"}, True),
        ("!a", {"a": ""}, False),
        ("x.io/a=b", {"x.io/a": "b"}, True),
    ],
)
def test_label_selectors_fit(selector: str, labels: dict[str, str], fits: bool) -> None:
    assert all(match(labels) for match in parse_labels(selector)) is fits


@pytest.mark.parametrize("selector", ["a===b", "a in 1", "=b", "a b"])
def test_broken_label_selectors_are_bad_requests(selector: str) -> None:
    with pytest.raises(ApiError) as error:
        parse_labels(selector)
    assert error.value.code == 400


def test_the_accept_header_of_kubectl_asks_for_tables() -> None:
    assert (Form.of(KUBECTL, "").name, Form.of(KUBECTL, "").table.version) == ("table", "v1")
    assert Form.of("application/json", "").name == "object"
    assert Form.of("application/vnd.kubernetes.protobuf,application/json", "").name == "object"
    partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
    assert Form.of(partial, "").name == "metadata"


def test_aggregated_discovery_is_given_to_those_who_prefer_it() -> None:
    assert wants_aggregated(f"{AGGREGATED},application/json")
    assert not wants_aggregated(f"application/json,{AGGREGATED}")
    assert not wants_aggregated("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList")


def test_dates_in_yaml_are_text_and_words_are_booleans() -> None:
    assert parse(b"a: 2024-01-01\nb: yes\n", "application/yaml") == {"a": "2024-01-01", "b": True}


def test_what_is_empty_and_optional_is_left_out() -> None:
    obj = {"metadata": {"name": "a", "labels": {}, "annotations": None}, "data": {}, "type": "x"}
    assert conform(SECRETS.schema, obj, "Secret", "v1").obj == {"metadata": {"name": "a"}, "type": "x"}


@pytest.mark.parametrize("body", [b"", b"k8s", b"k8s\x00\xff", b"k8s\x00\x12\x7fshort", b"k8s\x00\x13"])
def test_broken_protobuf_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(ApiError) as error:
        protobuf.decode(body, SECRETS.schema)
    assert error.value.code == 400


def test_a_protobuf_secret_is_read() -> None:
    meta = b"\x0a\x03one" + b"\x12\x00" + b"\x5a\x06\x0a\x01k\x12\x01v"
    raw = b"\x0a" + bytes([len(meta)]) + meta + b"\x12\x06\x0a\x01a\x12\x01b" + b"\x1a\x06Opaque"
    head = b"\x0a\x02v1\x12\x06Secret"
    body = b"k8s\x00\x0a" + bytes([len(head)]) + head + b"\x12" + bytes([len(raw)]) + raw
    assert protobuf.decode(body, SECRETS.schema) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "one", "labels": {"k": "v"}},
        "data": {"a": "Yg=="},
        "type": "Opaque",
    }
