"""kubectl 1.34, unmodified, on both API servers: what it prints and with which code it ends."""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from kubernetes_world import Json, KubernetesWorld, Space, deployment, template

from testing.waiting import eventually

AGE = re.compile(r"\b\d+s\b")


@dataclass(frozen=True)
class Said:
    """What kubectl printed, ages as AGE."""

    out: str
    err: str
    code: int


Run = Callable[..., Said]


@pytest.fixture
def run(kubernetes: KubernetesWorld, space: Space, kubectl: str, tmp_path: Path) -> Run:
    """Runs kubectl in the namespace of the test; documents are given as stdin."""
    config = tmp_path / "config"
    config.write_text(yaml.safe_dump(kubernetes.kubeconfig))

    def run_kubectl(*arguments: str, documents: list[Json] | None = None) -> Said:
        argv = [
            kubectl,
            "--kubeconfig",
            str(config),
            "--cache-dir",
            str(tmp_path / "cache"),
            "-n",
            space.name,
            *arguments,
        ]
        stdin = yaml.safe_dump_all(documents) if documents else None
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run(
            argv, capture_output=True, text=True, input=stdin, timeout=60, check=False, env=environment
        )
        return Said(AGE.sub("AGE", done.stdout), done.stderr, done.returncode)

    return run_kubectl


def documents(space: Space, replicas: int = 0) -> list[Json]:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "dexter-sa"}}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "userpass"},
        "stringData": {"A": "b", "C": "d"},
    }
    web = deployment("web", replicas, template=template(serviceAccountName="dexter-sa", schedulerName="none"))
    return [account, secret, web]


def test_apply_creates_configures_and_leaves(run: Run, space: Space) -> None:
    made = run("apply", "-f", "-", documents=documents(space))
    assert made.out.splitlines() == [
        "serviceaccount/dexter-sa created",
        "secret/userpass created",
        "deployment.apps/web created",
    ]
    again = run("apply", "-f", "-", documents=documents(space))
    assert {"serviceaccount/dexter-sa unchanged", "deployment.apps/web unchanged"} <= set(again.out.splitlines())
    changed = documents(space)
    changed[2]["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "B", "value": "2"}]
    assert "deployment.apps/web configured" in run("apply", "-f", "-", documents=changed).out
    env = space.api.get(space.apps("deployments", "web"))["spec"]["template"]["spec"]["containers"][0]["env"]
    assert env == [{"name": "B", "value": "2"}]


def test_apply_on_the_server_takes_over_what_the_client_applied(run: Run, space: Space) -> None:
    run("apply", "-f", "-", documents=documents(space))
    done = run("apply", "--server-side", "-f", "-", documents=documents(space))
    assert (done.code, done.err) == (0, "")
    assert "deployment.apps/web serverside-applied" in done.out
    entries = space.api.get(space.apps("deployments", "web"))["metadata"]["managedFields"]
    assert "kubectl-client-side-apply" not in {item["manager"] for item in entries}
    changed = documents(space)
    changed[2]["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "B", "value": "2"}]
    assert run("apply", "--server-side", "-f", "-", documents=changed).code == 0
    env = space.api.get(space.apps("deployments", "web"))["spec"]["template"]["spec"]["containers"][0]["env"]
    assert env == [{"name": "B", "value": "2"}]


def test_a_conflict_is_explained(run: Run, space: Space) -> None:
    run("apply", "--server-side", "-f", "-", documents=documents(space))
    run("scale", "deploy", "web", "--replicas=2")
    done = run("apply", "--server-side", "-f", "-", documents=documents(space))
    assert done.code == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale"' in done.err


def test_an_unknown_field_is_refused_by_name(run: Run, space: Space) -> None:
    wrong = documents(space)[2]
    wrong["spec"]["replica"] = 1
    done = run("apply", "-f", "-", documents=[wrong])
    assert done.code == 1
    assert 'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error' in done.err
    assert 'unknown field "spec.replica"' in done.err


def test_get_prints_the_tables_of_the_walkthrough(run: Run, space: Space) -> None:
    run("apply", "-f", "-", documents=documents(space))
    assert run("get", "secrets").out == "NAME       TYPE     DATA   AGE\nuserpass   Opaque   2      AGE\n"
    assert run("get", "sa").out == "NAME        SECRETS   AGE\ndefault     0         AGE\ndexter-sa   0         AGE\n"
    assert run("get", "deploy").out == (
        "NAME   READY   UP-TO-DATE   AVAILABLE   AGE\nweb    0/0     0            0           AGE\n"
    )
    assert run("get", "pods").err == f"No resources found in {space.name} namespace.\n"


def test_get_finds_objects_by_every_name_of_their_kind(run: Run, space: Space) -> None:
    run("apply", "-f", "-", documents=documents(space))
    for kind in ("deployments.apps", "deployment", "deploy", "deployments.v1.apps"):
        assert run("get", kind, "web", "-o", "name").out == "deployment.apps/web\n"
    missing = run("get", "secrets/none")
    assert (missing.code, missing.err) == (1, 'Error from server (NotFound): secrets "none" not found\n')
    unknown = run("get", "things")
    assert (unknown.code, unknown.err) == (1, 'error: the server doesn\'t have a resource type "things"\n')


def test_templates_and_paths_read_values(run: Run, space: Space) -> None:
    run("apply", "-f", "-", documents=documents(space))
    assert run("get", "secrets/userpass", "--template={{.data.A}}").out == "Yg=="
    assert run("get", "secret", "userpass", "-o", "jsonpath={.data.C}").out == "ZA=="


def test_describe_hides_values(run: Run, space: Space) -> None:
    run("apply", "-f", "-", documents=documents(space))
    done = run("describe", "secrets", "userpass")
    assert f"Name:         userpass\nNamespace:    {space.name}\n" in done.out
    assert done.out.endswith("Type:  Opaque\n\nData\n====\nA:  1 bytes\nC:  1 bytes\n")
    described = run("describe", "deploy", "web")
    assert (described.code, "Replicas:               0 desired" in described.out) == (0, True)


def test_scale_says_scaled(run: Run, space: Space) -> None:
    run("apply", "-f", "-", documents=documents(space))
    assert run("scale", "deploy", "web", "--replicas=1").out == "deployment.apps/web scaled\n"
    assert space.api.get(space.apps("deployments", "web"))["spec"]["replicas"] == 1
    eventually(lambda: space.api.get(space.path("pods"))["items"])


def test_wait_sees_a_deletion_and_a_condition(run: Run, space: Space) -> None:
    run("apply", "-f", "-", documents=documents(space))
    waited = run("wait", "deploy/web", "--for=condition=Available", "--timeout=10s")
    assert waited.out == "deployment.apps/web condition met\n"
    assert run("rollout", "status", "deploy/web", "--timeout=10s").code == 0
    gone = run("delete", "deploy", "web", "--timeout=20s")
    assert (gone.code, gone.out) == (0, f'deployment.apps "web" deleted from {space.name} namespace\n')
    assert space.api("GET", space.apps("deployments", "web")).code == 404


def test_delete_takes_a_manifest_apart(run: Run, space: Space) -> None:
    run("apply", "-f", "-", documents=documents(space))
    done = run("delete", "-f", "-", "--timeout=20s", documents=documents(space))
    assert (done.code, len(done.out.splitlines())) == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("secret", "generic", "s", "--from-literal=a=b"), "secret/s created\n"),
        (("configmap", "c", "--from-literal=a=b"), "configmap/c created\n"),
        (("serviceaccount", "a"), "serviceaccount/a created\n"),
        (("deployment", "d", "--image=x", "--replicas=0", "--port=80"), "deployment.apps/d created\n"),
        (("service", "clusterip", "v", "--tcp=80:8080"), "service/v created\n"),
        (("role", "r", "--verb=get", "--resource=pods"), "role.rbac.authorization.k8s.io/r created\n"),
        (("rolebinding", "b", "--role=r", "--user=u"), "rolebinding.rbac.authorization.k8s.io/b created\n"),
    ],
)
def test_create_makes_objects_from_words(run: Run, arguments: tuple[str, ...], printed: str) -> None:
    done = run("create", *arguments)
    assert (done.out, done.err) == (printed, "")


def test_created_objects_are_what_was_asked(run: Run, space: Space) -> None:
    run("create", "secret", "generic", "s", "--from-literal=a=b")
    assert space.api.get(space.path("secrets", "s"))["data"] == {"a": "Yg=="}
    run("create", "deployment", "d", "--image=x:1", "--replicas=0", "--port=80")
    spec = space.api.get(space.apps("deployments", "d"))["spec"]
    assert (spec["replicas"], spec["selector"]) == (0, {"matchLabels": {"app": "d"}})
    assert spec["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    run("create", "service", "clusterip", "v", "--tcp=80:8080")
    assert space.api.get(space.path("services", "v"))["spec"]["ports"][0]["targetPort"] == 8080


def test_a_token_is_created_for_any_audience(run: Run) -> None:
    done = run("create", "token", "default", "--audience", "api://AzureADTokenExchange")
    assert (done.code, done.out.count(".")) == (0, 2)


def test_rights_are_asked_for(run: Run, space: Space) -> None:
    assert run("auth", "can-i", "create", "pods").out == "yes\n"
    account = f"system:serviceaccount:{space.name}:default"
    denied = run("auth", "can-i", "list", "secrets", "--as", account)
    assert (denied.out, denied.code) == ("no\n", 1)
    assert "Username" in run("auth", "whoami").out


def test_custom_objects_are_applied_and_shown(run: Run, space: Space, widgets: str) -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 3}}
    assert run("apply", "-f", "-", documents=[widget]).out == "widget.example.com/one created\n"
    widget["spec"] = {"size": 4}
    assert run("apply", "-f", "-", documents=[widget]).out == "widget.example.com/one configured\n"
    assert run("get", "wi").out == "NAME   SIZE   READY\none    4      \n"
    assert space.api.get(f"{widgets}/one")["spec"] == {"size": 4, "color": "red"}


def test_fields_are_explained(run: Run) -> None:
    done = run("explain", "deployment.spec.replicas")
    assert (done.code, "FIELD: replicas <integer>" in done.out) == (0, True)
