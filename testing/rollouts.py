"""Argo Rollouts in a lab: its custom resource, and a Rollout."""

from typing import Any

from infra.kubernetes.client import Cluster
from infra.kubernetes.manifests import apply, parse
from testing.labs import ROOT

API = "argoproj.io/v1alpha1"


def install_rollouts(cluster: Cluster) -> None:
    """Install the custom resource; the lab's controller begins to work with it."""
    path = ROOT / "lab" / "cluster" / "argo_rollouts" / "crds.yaml"
    apply(cluster, parse(path.name, path.read_text()))


def rollout(name: str, namespace: str, steps: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a Rollout whose updates are canaries."""
    canary = {"steps": steps} if steps else {}
    metadata, strategy = {"name": name, "namespace": namespace}, {"canary": canary}
    return {"apiVersion": API, "kind": "Rollout", "metadata": metadata, "spec": {"strategy": strategy, **spec}}
