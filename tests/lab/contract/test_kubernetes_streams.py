"""exec and logs: passed on to the node of the pod, for kubectl and the Python client. A real API server asks its
nodes over TLS and certificates, so these run on the small one alone."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from echo_kubelet import EchoKubelet
from kubernetes import client, config, stream
from kubernetes_world import Api

from testing.clusters import KUBELET_TOKEN, SmallCluster, small_cluster


@dataclass(frozen=True)
class Node:
    cluster: SmallCluster
    api: Api
    kubeconfig: Path

    def kubectl(self, binary: str, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        argv = [binary, "--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self.kubeconfig.parent), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, input=stdin, timeout=30, check=False)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A cluster with one echoing node and a pod on it, `one` with the containers a and b."""
    with small_cluster() as small:
        kubelet = EchoKubelet(KUBELET_TOKEN)
        small.run(kubelet.start())
        api = Api(small.kubeconfig)
        api.create("/api/v1/nodes", kubelet.node("echo"))
        api.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        containers = [{"name": name, "image": "i:1"} for name in ("a", "b")]
        pod = {"metadata": {"name": "one"}, "spec": {"nodeName": "echo", "containers": containers}}
        api.create("/api/v1/namespaces/default/pods", pod)
        status = {"status": {"phase": "Running"}}
        api.patch("/api/v1/namespaces/default/pods/one/status", status)
        path = tmp_path_factory.mktemp("kube") / "config"
        path.write_text(yaml.safe_dump(small.kubeconfig))
        yield Node(small, api, path)
        small.run(kubelet.stop())


def run_in(node: Node, container: str, *command: str, stdin: str = "") -> tuple[str, str, int]:
    """Run a command by the Python client: stdout, stderr and exit code."""
    with config.new_client_from_config_dict(node.cluster.kubeconfig) as connection:
        session = stream.stream(
            client.CoreV1Api(connection).connect_get_namespaced_pod_exec,
            *("one", "default"),
            container=container,
            command=list(command),
            stdin=bool(stdin),
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        try:
            if stdin:
                session.write_stdin(stdin)
            session.run_forever(timeout=10)
            return session.read_stdout(), session.read_stderr(), session.returncode
        finally:
            # Its close() does nothing once the server has closed.
            session.sock.shutdown()


def test_the_python_client_runs_a_command(node: Node) -> None:
    assert run_in(node, "a", "cat", "/x y") == ("cat /x y\n", "", 0)
    assert run_in(node, "a", "fail") == ("", "bad\n", 3)


def test_the_python_client_sends_input(node: Node) -> None:
    assert run_in(node, "b", "sh", stdin="hello") == ("sh\nhello", "", 0)


def test_kubectl_runs_a_command_and_ends_with_its_code(node: Node, kubectl: str) -> None:
    fine = node.kubectl(kubectl, "exec", "one", "-c", "a", "--", "cat", "/mederma/username")
    assert (fine.stdout, fine.returncode) == ("cat /mederma/username\n", 0)
    failed = node.kubectl(kubectl, "exec", "one", "-c", "a", "--", "fail")
    assert (failed.returncode, failed.stderr) == (3, "bad\ncommand terminated with exit code 3\n")


def test_kubectl_sends_input(node: Node, kubectl: str) -> None:
    answer = node.kubectl(kubectl, "exec", "-i", "one", "-c", "b", "--", "sh", stdin="typed")
    assert answer.stdout == "sh\ntyped"


def test_kubectl_reads_logs(node: Node, kubectl: str) -> None:
    answer = node.kubectl(kubectl, "logs", "one", "-c", "a", "--tail", "2")
    assert answer.stdout == "line 8\nline 9\n"


def test_a_container_must_be_named_when_there_are_two(node: Node) -> None:
    answer = node.api("GET", "/api/v1/namespaces/default/pods/one/log")
    assert (answer.code, answer.reason) == (400, "BadRequest")
    assert answer.message == "a container name must be specified for pod one, choose one of: [a b]"


def test_an_unknown_container_is_refused(node: Node) -> None:
    answer = node.api("GET", "/api/v1/namespaces/default/pods/one/log?container=c")
    assert (answer.code, answer.message) == (400, "container c is not valid for pod one")


def test_a_pod_without_a_node_has_no_streams(node: Node) -> None:
    pod = {"metadata": {"name": "two"}, "spec": {"containers": [{"name": "a", "image": "i"}]}}
    node.api.create("/api/v1/namespaces/default/pods", pod)
    answer = node.api("GET", "/api/v1/namespaces/default/pods/two/log")
    assert (answer.code, answer.message) == (400, "pod two does not have a host assigned")
    node.api("DELETE", "/api/v1/namespaces/default/pods/two")


def test_a_node_that_does_not_answer_is_an_internal_error(node: Node) -> None:
    dead = EchoKubelet("x")
    dead.port = 1
    node.api.create("/api/v1/nodes", dead.node("dead"))
    pod = {"metadata": {"name": "lost"}, "spec": {"nodeName": "dead", "containers": [{"name": "a", "image": "i"}]}}
    node.api.create("/api/v1/namespaces/default/pods", pod)
    answer = node.api("GET", "/api/v1/namespaces/default/pods/lost/log")
    assert (answer.code, answer.reason) == (500, "InternalError")
    assert answer.message.startswith('Get "http://127.0.0.1:1/containerLogs/default/lost/a": dial tcp:')
