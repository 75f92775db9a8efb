"""A real control plane from plain binaries: etcd, kube-apiserver and kube-controller-manager.

KEYTURN_LAB_KUBERNETES names the folder of the latter two; etcd is on the PATH. There is no node in it.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.control.certificates import Authority
from lab.errors import NotFound, ServiceFailed

SWITCH = "KEYTURN_LAB_KUBERNETES"
ADDRESS = "127.0.0.1"
_BINARIES = ("kube-apiserver", "kube-controller-manager")
_MASTERS = "system:masters"
_START_SECONDS = 120


def why_not(folder: str) -> str:
    """Why no real control plane can be started from a folder; empty if one can."""
    if not folder:
        return "no folder with kube-apiserver and kube-controller-manager is given"
    missing = [name for name in _BINARIES if not (Path(folder) / name).exists()]
    if missing:
        return f"{folder} lacks {', '.join(missing)}"
    return "" if shutil.which("etcd") else "install etcd (Debian: etcd-server)"


@dataclass
class ControlPlane:
    """The processes of one control plane.

    Args:
        folder: where the binaries are.
        state: an empty folder for what they write.
        authority: signs the API server's certificate.
        issuer: of service account tokens.
        users: bearer tokens of administrators, with their names.
        names: of the API server, in its certificate.
        port: of the API server; 0 for any free one.
        has_manager: whether the controllers run.
    """

    folder: Path
    state: Path
    authority: Authority
    issuer: str
    users: Mapping[str, str]
    names: Sequence[str] = (ADDRESS, "localhost")
    port: int = 0
    has_manager: bool = True
    _running: ExitStack = field(default_factory=ExitStack, init=False)

    @property
    def url(self) -> str:
        """Where the API server answers, once started."""
        return f"https://{ADDRESS}:{self.port}"

    def start(self) -> None:
        """Start all of it; returns when the API server and the controllers work.

        Raises:
            ServiceFailed: a process ended, or is not ready in time; its last words are in it.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        client, peer, manager, free = _find_free_ports(4)
        self.port = self.port or free
        self._write_files()
        with ExitStack() as stack:
            started = self._spawn(stack, "etcd", self._etcd(client, peer))
            self._wait(f"http://{ADDRESS}:{client}/health", "etcd", started)
            started = self._spawn(stack, "kube-apiserver", self._api_server(client))
            self._wait(f"{self.url}/readyz", "kube-apiserver", started)
            if self.has_manager:
                started = self._spawn(stack, "kube-controller-manager", self._manager(manager))
                account = f"{self.url}/api/v1/namespaces/default/serviceaccounts/default"
                self._wait(account, "kube-controller-manager", started)
            self._running = stack.pop_all()

    def stop(self) -> None:
        """End all processes."""
        self._running.close()

    def get(self, path: str) -> dict[str, Any]:
        """Read a path of the API server as an administrator."""
        with self._opener().open(self._request(self.url + path), timeout=10) as response:
            return dict(json.load(response))

    def _opener(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context(cadata=self.authority.pem)
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def _request(self, url: str) -> urllib.request.Request:
        return urllib.request.Request(url, headers={"Authorization": f"Bearer {next(iter(self.users))}"})  # noqa: S310 (loopback)

    def _wait(self, url: str, name: str, process: subprocess.Popen[bytes]) -> None:
        opener, deadline = self._opener(), time.monotonic() + _START_SECONDS
        while True:
            try:
                with opener.open(self._request(url), timeout=5):
                    return
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    words = (self.state / f"{name}.log").read_text()[-2000:]
                    raise ServiceFailed(
                        "a part of the control plane does not answer", name=name, seen=f"{error}; its log ends {words}"
                    ) from None
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)

    def _spawn(self, stack: ExitStack, name: str, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a process that ends with this one, however it ends."""
        argv = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
        with (self.state / f"{name}.log").open("wb") as out:
            process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        stack.callback(_kill, process)
        return process

    def _write_files(self) -> None:
        """Certificates, the key of service account tokens, and who the administrators are."""
        self.authority.write_files(self.state, "server", *self.names)
        (self.state / "authority.pem").write_text(self.authority.pem)
        key = rsa.generate_private_key(65537, 2048)
        encoding, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        public = serialization.PublicFormat.SubjectPublicKeyInfo
        lines = [f'{token},{name},{name},"{_MASTERS}"\n' for token, name in self.users.items()]
        for name, content in {
            "sa.key": key.private_bytes(encoding, private, serialization.NoEncryption()),
            "sa.pub": key.public_key().public_bytes(encoding, public),
            "tokens.csv": "".join(lines).encode(),
            "kubeconfig": yaml.safe_dump(self._kubeconfig()).encode(),
        }.items():
            (self.state / name).touch(mode=0o600)
            (self.state / name).write_bytes(content)

    def _kubeconfig(self) -> dict[str, Any]:
        cluster = {"server": self.url, "certificate-authority": str(self.state / "authority.pem")}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": next(iter(self.users))}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
        }

    def _etcd(self, client: int, peer: int) -> list[str]:
        urls = f"http://{ADDRESS}:{client}", f"http://{ADDRESS}:{peer}"
        data = str(self.state / "etcd")
        return [
            *("etcd", "--name", "lab", "--data-dir", data, "--unsafe-no-fsync", "--log-level", "error"),
            *("--listen-client-urls", urls[0], "--advertise-client-urls", urls[0]),
            *("--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1]),
            *("--initial-cluster", f"lab={urls[1]}"),
        ]

    def _api_server(self, etcd: int) -> list[str]:
        state = self.state
        return [
            *(str(self.folder / "kube-apiserver"), "--etcd-servers", f"http://{ADDRESS}:{etcd}"),
            *("--bind-address", ADDRESS, "--secure-port", str(self.port), "--endpoint-reconciler-type", "none"),
            *("--tls-cert-file", str(state / "server.pem"), "--tls-private-key-file", str(state / "server.key")),
            *("--token-auth-file", str(state / "tokens.csv"), "--authorization-mode", "RBAC"),
            *("--service-cluster-ip-range", "10.96.0.0/16", "--profiling=false", "--allow-privileged=true"),
            *("--service-account-issuer", self.issuer, "--service-account-jwks-uri", f"{self.issuer}openid/v1/jwks"),
            *("--service-account-key-file", str(state / "sa.pub"), "--kubelet-preferred-address-types", "InternalIP"),
            *("--service-account-signing-key-file", str(state / "sa.key")),
            # Otherwise it would speak SPDY to the kubelet; the lab's takes the caller's WebSocket as it is.
            *("--feature-gates", "TranslateStreamCloseWebsocketRequests=false"),
        ]

    def _manager(self, port: int) -> list[str]:
        state = self.state
        return [
            *(str(self.folder / "kube-controller-manager"), "--kubeconfig", str(state / "kubeconfig")),
            *("--leader-elect=false", "--bind-address", ADDRESS, "--secure-port", str(port), "--cert-dir", str(state)),
            *("--use-service-account-credentials", "--service-account-private-key-file", str(state / "sa.key")),
            *("--root-ca-file", str(state / "authority.pem"), "--kube-api-qps", "300", "--kube-api-burst", "600"),
        ]


def find_folder() -> Path | None:
    """The folder that KEYTURN_LAB_KUBERNETES names.

    Raises:
        NotFound: no control plane can be started from it.
    """
    folder = os.environ.get(SWITCH, "")
    if folder and (reason := why_not(folder)):
        raise NotFound("there is no real Kubernetes", name=SWITCH, seen=reason, fix=f"Correct or unset {SWITCH}")
    return Path(folder) if folder else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The API server would wait for its watchers."""
    process.kill()
    process.wait(30)


def _find_free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind((ADDRESS, 0))
        return [listener.getsockname()[1] for listener in sockets]
