"""A real kube-apiserver with etcd and the controller manager, from plain binaries, for the length of a test run."""

import base64
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

VARIABLE = "KEYTURN_TEST_K8S_BIN"
ISSUER = "https://oidc.lab.local/xyz/"
_TOKEN = "admin-of-a-test"
_START_SECONDS = 60


def why_not() -> str:
    """Why no real cluster can be started here; empty if one can."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return f"set {VARIABLE} to a folder with kube-apiserver and kube-controller-manager, and install etcd"
    missing = [name for name in ("kube-apiserver", "kube-controller-manager") if not (Path(folder) / name).exists()]
    if missing:
        return f"{VARIABLE}={folder} lacks {', '.join(missing)}"
    return "" if shutil.which("etcd") else "install etcd (Debian: etcd-server)"


@contextmanager
def _process(argv: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        # The API server would wait for its watchers.
        process.kill()
        process.wait(30)


def _wait(url: str, context: ssl.SSLContext | None, process: subprocess.Popen[bytes], log: Path) -> None:
    handlers: list[Any] = [urllib.request.ProxyHandler({})]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {_TOKEN}"})  # noqa: S310 (loopback)
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with opener.open(request, timeout=2):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not answer: {error}\n{log.read_text()[-2000:]}") from None
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def _write_keys(state: Path) -> str:
    """Certificates and the key of service account tokens; returns the CA."""
    ca = trustme.CA()
    certificate = ca.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(state / "server.pem")
    ca.cert_pem.write_to_path(state / "ca.pem")
    key = rsa.generate_private_key(65537, 2048)
    encoding, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (state / "sa.key").write_bytes(key.private_bytes(encoding, private, serialization.NoEncryption()))
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (state / "sa.pub").write_bytes(key.public_key().public_bytes(encoding, public))
    (state / "tokens.csv").write_text(f'{_TOKEN},lab-admin,1,"system:masters"\n')
    return ca.cert_pem.bytes().decode()


def _kubeconfig(state: Path, port: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [
            {
                "name": "lab",
                "cluster": {
                    "server": f"https://127.0.0.1:{port}",
                    "certificate-authority-data": base64.b64encode((state / "ca.pem").read_bytes()).decode(),
                },
            }
        ],
        "users": [{"name": "admin", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
    }


@contextmanager
def real_cluster(state: Path) -> Iterator[dict[str, Any]]:
    """Start etcd, the API server and the controller manager in `state`; yields the administrator's kubeconfig."""
    folder = Path(os.environ[VARIABLE])
    client, peer, port, manager = _free_ports(4)
    _write_keys(state)
    config = _kubeconfig(state, port)
    (state / "kubeconfig").write_text(yaml.safe_dump(config))
    etcd, api, controllers = (state / f"{name}.log" for name in ("etcd", "apiserver", "controllers"))
    context = ssl.create_default_context(cafile=str(state / "ca.pem"))
    with ExitStack() as stack:
        started = stack.enter_context(_process(_etcd(state, client, peer), etcd))
        _wait(f"http://127.0.0.1:{client}/health", None, started, etcd)
        started = stack.enter_context(_process(_api(folder, state, client, port), api))
        _wait(f"https://127.0.0.1:{port}/readyz", context, started, api)
        started = stack.enter_context(_process(_controllers(folder, state, manager), controllers))
        _wait(
            f"https://127.0.0.1:{port}/api/v1/namespaces/default/serviceaccounts/default", context, started, controllers
        )
        yield config


def _etcd(state: Path, client: int, peer: int) -> list[str]:
    urls = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    return [
        *("etcd", "--name", "lab", "--data-dir", str(state / "etcd"), "--unsafe-no-fsync", "--log-level", "error"),
        *("--listen-client-urls", urls[0], "--advertise-client-urls", urls[0]),
        *("--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1]),
        *("--initial-cluster", f"lab={urls[1]}"),
    ]


def _api(folder: Path, state: Path, etcd: int, port: int) -> list[str]:
    return [
        *(str(folder / "kube-apiserver"), "--etcd-servers", f"http://127.0.0.1:{etcd}"),
        *("--bind-address", "127.0.0.1", "--secure-port", str(port), "--endpoint-reconciler-type", "none"),
        *("--tls-cert-file", str(state / "server.pem"), "--tls-private-key-file", str(state / "server.pem")),
        *("--token-auth-file", str(state / "tokens.csv"), "--authorization-mode", "RBAC"),
        *("--service-cluster-ip-range", "10.96.0.0/16", "--profiling=false", "--allow-privileged=true"),
        *("--service-account-issuer", ISSUER, "--service-account-jwks-uri", ISSUER + "openid/v1/jwks"),
        *("--service-account-key-file", str(state / "sa.pub")),
        *("--service-account-signing-key-file", str(state / "sa.key")),
    ]


def _controllers(folder: Path, state: Path, port: int) -> list[str]:
    return [
        *(str(folder / "kube-controller-manager"), "--kubeconfig", str(state / "kubeconfig"), "--leader-elect=false"),
        *("--bind-address", "127.0.0.1", "--secure-port", str(port), "--cert-dir", str(state)),
        *("--use-service-account-credentials", "--service-account-private-key-file", str(state / "sa.key")),
        *("--root-ca-file", str(state / "ca.pem"), "--kube-api-qps", "300", "--kube-api-burst", "600"),
    ]
