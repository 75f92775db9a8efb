"""A real kube-apiserver with etcd and the controller manager, from plain binaries, for the length of a test run."""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.cluster import control_plane
from lab.cluster.control_plane import ControlPlane
from lab.control.certificates import Authority

VARIABLE = "KEYTURN_TEST_K8S_BIN"
ISSUER = "https://oidc.lab.local/xyz/"
_TOKEN = "admin-of-a-test"


def why_not() -> str:
    """Why no real cluster can be started here; empty if one can."""
    if not os.environ.get(VARIABLE):
        return f"set {VARIABLE} to a folder with kube-apiserver and kube-controller-manager, and install etcd"
    return control_plane.why_not(os.environ[VARIABLE])


@contextmanager
def real_cluster(state: Path, *, has_manager: bool = True) -> Iterator[dict[str, Any]]:
    """Start etcd, the API server and the controller manager in `state`; yields the administrator's kubeconfig."""
    authority, folder = Authority.create(state), Path(os.environ[VARIABLE])
    plane = ControlPlane(folder, state, authority, ISSUER, {_TOKEN: "masterclient"}, has_manager=has_manager)
    plane.start()
    try:
        yield _kubeconfig(plane)
    finally:
        plane.stop()


def _kubeconfig(plane: ControlPlane) -> dict[str, Any]:
    authority = base64.b64encode(plane.authority.pem.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": plane.url, "certificate-authority-data": authority}}],
        "users": [{"name": "admin", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
    }
