"""How a connection signs in: plugins, files, certificates, tokens of Azure, a pod's service account."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from scripted_api import Answer, ScriptedApi, scripted_api

from infra.errors import AccessDenied, AuthenticationFailed, InvalidInput
from infra.kubernetes import kubeconfig
from infra.kubernetes.client import connect, connect_to
from infra.kubernetes.kubeconfig import find_own_context, load_kubeconfig
from infra.settings import Settings
from testing.clusters import SmallCluster
from testing.waiting import eventually

PODS = "/api/v1/namespaces/dexter/pods"
FAST = Settings(connect_timeout_seconds=1, request_timeout_seconds=2)
EMPTY = Answer(body={"items": []})
UNAUTHORIZED = Answer(401, {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"})
VERSION = "client.authentication.k8s.io/v1"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiJ4In0.c2lnbmF0dXJl"

Config = Callable[..., Path]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Writes a kubeconfig for a server with a plugin, which is a shell script, and returns its path."""

    def write(server: str, script: str = "", cluster: dict[str, Any] | None = None, **plugin: Any) -> Path:
        (tmp_path / "plugin").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "plugin").chmod(0o755)
        user = {"exec": {"apiVersion": VERSION, "command": "./plugin", "interactiveMode": "Never", **plugin}}
        content = {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": user}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(content))
        return tmp_path / "config"

    return write


def credential(**status: str) -> str:
    """The shell line that answers with a credential."""
    return f"echo '{json.dumps({'kind': 'ExecCredential', 'apiVersion': VERSION, 'status': status})}'"


def counted(folder: Path, line: str) -> str:
    """The line, with the number of the plugin's run for $N."""
    return f"echo x >> {folder}/runs\n" + line.replace("$N", f"'$(wc -l < {folder}/runs)'")


def refusal(path: Path, settings: Settings = FAST) -> AuthenticationFailed:
    """Connect, and return why the plugin gives no credential."""
    with pytest.raises(AuthenticationFailed) as caught:
        connect(path, settings)
    assert caught.value.code == "PluginFailed"
    assert "KEYTURN_KUBECONFIG" in caught.value.fix
    return caught.value


def test_a_plugin_gives_the_token_and_is_run_once(config: Config, tmp_path: Path) -> None:
    with scripted_api(EMPTY) as api:
        cluster = connect(config(api.url, f"echo x >> {tmp_path}/runs\n{credential(token='t1')}"), FAST)
        cluster.get(PODS)
        cluster.get(PODS)
    assert api.callers == ["Bearer t1"] * 2
    assert (tmp_path / "runs").read_text() == "x\n"


def test_a_plugin_hears_that_nobody_can_be_asked_and_which_cluster_it_is_for(config: Config, tmp_path: Path) -> None:
    script = f"cat > {tmp_path}/stdin; echo $WHO > {tmp_path}/who; echo $KUBERNETES_EXEC_INFO > {tmp_path}/info\n"
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    with scripted_api(EMPTY) as api:
        path = config(
            api.url,
            script + credential(token="t"),
            {"extensions": [extension]},
            provideClusterInfo=True,
            env=[{"name": "WHO", "value": "me"}],
        )
        connect(path, FAST)
    spec = {"interactive": False, "cluster": {"server": api.url, "config": {"audience": "x"}}}
    assert json.loads((tmp_path / "info").read_text()) == {
        "apiVersion": VERSION,
        "kind": "ExecCredential",
        "spec": spec,
    }
    assert ((tmp_path / "stdin").read_text(), (tmp_path / "who").read_text()) == ("", "me\n")


def test_a_plugin_that_is_not_installed_is_named_with_its_hint(config: Config) -> None:
    with scripted_api(EMPTY) as api:
        error = refusal(config(api.url, command="nosuchlogin", installHint="Get it\nsomewhere."))
    assert (error.name, error.seen) == ("nosuchlogin", "it is not installed")
    assert error.fix.endswith("Its kubeconfig says: Get it somewhere.")
    assert api.callers == [], "the cluster was asked anonymously"


def test_a_plugin_that_fails_says_why_without_a_token(config: Config) -> None:
    guid = "5f0e7a3c-0000-4000-8000-0a0b0c0d0e0f"
    script = f"echo first >&2; echo 'AADSTS700016: no {guid}; sent {JWT} and {'s' * 40}' >&2; exit 3"
    with scripted_api(EMPTY) as api:
        error = refusal(config(api.url, script))
    assert error.seen == f"it ended with exit code 3: AADSTS700016: no {guid}; sent [...] and [...]"
    assert api.callers == []


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended; it may go away at any moment."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_plugin_that_waits_for_a_person_times_out_and_is_ended_with_its_children(
    config: Config, tmp_path: Path
) -> None:
    script = f"echo open https://microsoft.com/devicelogin >&2; sh -c 'echo $$ > {tmp_path}/child; sleep 600'"
    begun = time.monotonic()
    with scripted_api(EMPTY) as api:
        error = refusal(config(api.url, script), Settings(request_timeout_seconds=1))
    assert time.monotonic() - begun < 10
    assert error.seen == "it timed out after 1 s: open https://microsoft.com/devicelogin"
    child = int((tmp_path / "child").read_text())
    assert eventually(lambda: not is_running(child), "the end of the plugin's child")


def test_a_plugin_that_must_ask_a_person_is_not_started(config: Config, tmp_path: Path) -> None:
    with scripted_api(EMPTY) as api:
        error = refusal(config(api.url, f"touch {tmp_path}/ran", interactiveMode="Always"))
    assert error.seen == "it wants to ask a person, and nobody is there"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("true", "its answer is not an ExecCredential"),
        ("echo '[]'", "its answer is not an ExecCredential"),
        (credential(), "its answer has no token, and no certificate with its key"),
        (credential(clientCertificateData="x"), "its answer has no token, and no certificate with its key"),
        (credential(token="t").replace("/v1", "/v1beta1"), f"its answer is not an ExecCredential of {VERSION}"),
    ],
    ids=["nothing", "a list", "empty", "no key", "another version"],
)
def test_a_plugin_that_gives_no_credential_says_so(config: Config, script: str, seen: str) -> None:
    with scripted_api(EMPTY) as api:
        assert refusal(config(api.url, script)).seen == seen
    assert api.callers == []


@pytest.mark.parametrize(("minutes", "times"), [(60, 1), (0, 2)], ids=["good for an hour", "at its end"])
def test_a_credential_of_a_plugin_is_renewed_at_its_end(
    config: Config, tmp_path: Path, minutes: int, times: int
) -> None:
    ends = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
    script = counted(tmp_path, credential(token="t$N", expirationTimestamp=ends))
    with scripted_api(EMPTY) as api:
        cluster = connect(config(api.url, script), FAST)
        cluster.get(PODS)
        cluster.get(PODS)
    assert len(set(api.callers)) == times


def test_a_credential_without_an_expiry_is_renewed_when_the_cluster_refuses_it(config: Config, tmp_path: Path) -> None:
    script = counted(tmp_path, credential(token="t$N"))
    with scripted_api(UNAUTHORIZED, EMPTY, UNAUTHORIZED) as api:
        cluster = connect(config(api.url, script), FAST)
        assert cluster.get(PODS)["items"] == []
        with pytest.raises(AuthenticationFailed, match="the sign-in failed"):
            cluster.get(PODS)
    assert api.callers == ["Bearer t1", "Bearer t2", "Bearer t2", "Bearer t3"]


def test_a_refused_token_that_nobody_can_renew_is_sent_once() -> None:
    with scripted_api(UNAUTHORIZED) as api, pytest.raises(AuthenticationFailed) as caught:
        connect(api.kubeconfig, FAST).get(PODS)
    assert caught.value.code == "Unauthorized"
    assert "role" not in str(caught.value)
    assert len(api.callers) == 1


def test_a_caller_who_signed_in_as_nobody_needs_a_credential_and_no_role(server: SmallCluster) -> None:
    config = {**server.kubeconfig, "users": [{"name": server.kubeconfig["users"][0]["name"], "user": {}}]}
    with closing(connect(config, FAST)) as cluster, pytest.raises(AuthenticationFailed) as caught:
        cluster.get(PODS)
    assert caught.value.code == "Anonymous"
    assert 'User "system:anonymous"' in caught.value.seen
    assert "role" not in caught.value.fix


def test_a_token_of_azure_signs_in_where_kubelogin_would_ask_and_is_renewed(config: Config) -> None:
    asked: list[str] = []

    def get_token(scope: str) -> tuple[str, float]:
        asked.append(scope)
        return f"t{len(asked)}", time.time() + (0.2 if len(asked) == 1 else 3600)

    with scripted_api(EMPTY) as api:
        path = config(api.url, "exit 1", command="kubelogin", args=["get-token", "--login", "devicecode"])
        cluster = connect_to(load_kubeconfig(path).get(), FAST, get_token)
        deadline = time.monotonic() + 10
        while "Bearer t2" not in api.callers and time.monotonic() < deadline:
            cluster.get(PODS)
        cluster.get(PODS)
    assert asked == ["6dae42f8-4368-4678-94ff-3960e28e3630/.default"] * 2
    assert api.callers[-1] == "Bearer t2"


@pytest.fixture
def account(server: SmallCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """This process is a pod; returns what replaces its token by one of a user, as the kubelet does."""
    host, port = server.server.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path)
    (tmp_path / "ca.crt").write_text(server.ca_pem)

    def replace(user: str, lifetime: timedelta = timedelta(hours=1)) -> str:
        token: str = server.call(server.server.token, user, [], lifetime)
        (tmp_path / "next").write_text(token)
        (tmp_path / "next").replace(tmp_path / "token")
        return token

    return replace


def test_a_pod_signs_in_by_its_service_account_whose_token_is_read_again(account: Callable[..., str]) -> None:
    account("system:serviceaccount:keyturn:worker-1")
    with closing(connect_to(find_own_context(), FAST)) as cluster:
        with pytest.raises(AccessDenied, match="worker-1"):
            cluster.get(PODS)
        account("system:serviceaccount:keyturn:worker-2")
        with pytest.raises(AccessDenied, match="worker-2"):
            cluster.get(PODS)
        account("system:serviceaccount:keyturn:worker-3", timedelta(0))
        with pytest.raises(AuthenticationFailed) as caught:
            cluster.get(PODS)
    assert caught.value.code == "Unauthorized"


def test_a_process_that_is_no_pod_says_what_is_missing(
    account: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput) as caught:
        find_own_context()
    assert (caught.value.code, caught.value.seen) == ("NotInCluster", f"there is no {tmp_path}/token")
    account("somebody")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(InvalidInput, match="KUBERNETES_SERVICE_HOST and _PORT are not set"):
        find_own_context()


CLIENT = """
import sys
from pathlib import Path
from infra.kubernetes.client import connect
from infra.settings import Settings
cluster = connect(Path(sys.argv[1]), Settings())
cluster.get("/api/v1/namespaces/dexter/pods")
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def mutual_tls() -> Iterator[tuple[ScriptedApi, dict[str, str], trustme.LeafCert]]:
    """A server that lets in only whom its authority knows; yields it, its kubeconfig's cluster, and a client's."""
    ca = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    ca.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    with scripted_api(EMPTY, tls=tls) as api:
        yield api, {"certificate-authority-data": encoded(ca.cert_pem)}, ca.issue_cert("client")


def encoded(blob: trustme.Blob) -> str:
    return b64encode(blob.bytes()).decode()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_clients_key_is_never_on_the_disk_not_even_after_a_kill(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with mutual_tls() as (api, cluster, client):
        certificate = {"client-certificate-data": encoded(client.cert_chain_pems[0])}
        user = {**certificate, "client-key-data": encoded(client.private_key_pem)}
        content = api.kubeconfig | {"users": [{"name": "u", "user": user}]}
        content["clusters"][0]["cluster"] |= cluster
        (tmp_path / "config").write_text(yaml.safe_dump(content))
        variables = {**os.environ, "TMPDIR": str(temporary), "HOME": str(temporary)}
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(tmp_path / "config")],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout
            assert process.stdout.readline() == "open\n"
            assert files_below(temporary) == []
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert len(api.callers) == 1
    assert files_below(temporary) == []


def test_a_plugins_certificate_signs_in(config: Config) -> None:
    with mutual_tls() as (api, cluster, client):
        pems = client.cert_chain_pems[0].bytes().decode(), client.private_key_pem.bytes().decode()
        script = credential(clientCertificateData=pems[0], clientKeyData=pems[1])
        (path := config(api.url, f"cat <<'END'\n{script.removeprefix('echo ')[1:-1]}\nEND", cluster))
        with closing(connect(path, FAST)) as connection:
            assert connection.get(PODS)["items"] == []


@pytest.mark.parametrize(
    "user",
    [
        {"client-certificate-data": "bm90IGEgY2VydGlmaWNhdGU=", "client-key-data": "bm8="},
        {"client-certificate-data": "*"},
        {"client-certificate": "nosuch"},
    ],
    ids=["no certificate", "not base64", "no file"],
)
def test_a_certificate_that_cannot_be_used_is_no_server_that_does_not_answer(user: dict[str, str]) -> None:
    with mutual_tls() as (api, cluster, _):
        content = api.kubeconfig | {"users": [{"name": "u", "user": user}]}
        content["clusters"][0]["cluster"] |= cluster
        with pytest.raises(InvalidInput, match="The kubeconfig cannot be used"):
            connect(content, FAST)
