"""The files that the CSI driver wrote into a pod, compared by digest: their values stay in the pod."""

import hashlib
import hmac
from collections.abc import Mapping

from infra.kubernetes.client import Cluster
from infra.kubernetes.commands import run_in_pod


def differing_files(
    cluster: Cluster, namespace: str, pod: str, expected: Mapping[str, str], container: str | None = None
) -> list[str]:
    """Return the paths in a pod whose content is not the expected one; absent files are among them.

    Args:
        cluster: where the pod is.
        namespace: its namespace.
        pod: its name.
        expected: path -> value; only paths are sent to the pod.
        container: the container that sees the files; the first one by default.

    Raises:
        NotFound: there is no such pod.
        ServiceFailed: the container has no sha256sum, or does not answer.
    """
    if not expected:
        return []
    output = run_in_pod(cluster, namespace, pod, ["sha256sum", "--", *sorted(expected)], container)
    digests = {path: digest for digest, _, path in (line.partition("  ") for line in output.stdout.splitlines())}
    return [path for path in sorted(expected) if not _is_same(digests.get(path, ""), expected[path])]


def _is_same(digest: str, value: str) -> bool:
    return hmac.compare_digest(digest, hashlib.sha256(value.encode()).hexdigest())
