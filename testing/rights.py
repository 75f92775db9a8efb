"""Connections of somebody who may do in a cluster exactly what a test says, and no more.

    with limited(cluster, "dexter", {"pods": "list watch", "leases.coordination.k8s.io": "get"}) as caller:
        caller.get("/api/v1/namespaces/dexter/pods")

A flow gets the same caller by `KEYTURN_KUBECONFIG`, as a file of what `write_kubeconfig` returns.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

from infra.kubernetes.client import Cluster, Object, connect_to
from infra.kubernetes.kubeconfig import Context

_RBAC = "rbac.authorization.k8s.io"
_numbers = count()

Rights = Mapping[str, str]
"""Resource, with its group as kubectl writes it, and its verbs: {"deployments.apps": "get patch"}."""


@contextmanager
def limited(cluster: Cluster, namespace: str, rights: Rights, everywhere: Rights | None = None) -> Iterator[Cluster]:
    """Connect for a block as a service account of its own; see `make_caller`."""
    with closing(connect_to(make_caller(cluster, namespace, rights, everywhere), cluster.settings)) as caller:
        yield caller


def make_caller(cluster: Cluster, namespace: str, rights: Rights, everywhere: Rights | None = None) -> Context:
    """Make a service account with exactly these rights, and return how it signs in.

    Args:
        cluster: a connection that may make roles.
        namespace: where the account is, and where `rights` hold.
        rights: what it may do there.
        everywhere: what it may do in the whole cluster.
    """
    name = f"limited-{next(_numbers)}"
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    cluster.request("POST", account, {}, {"metadata": {"name": name}})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    for kind, where, given in (("Role", f"namespaces/{namespace}/", rights), ("ClusterRole", "", everywhere or {})):
        role = {"metadata": {"name": name}, "rules": [_rule(resource, verbs) for resource, verbs in given.items()]}
        reference = {"apiGroup": _RBAC, "kind": kind, "name": name}
        binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        cluster.request("POST", f"/apis/{_RBAC}/v1/{where}{kind.lower()}s", {}, role)
        cluster.request("POST", f"/apis/{_RBAC}/v1/{where}{kind.lower()}bindings", {}, binding)
    token = cluster.request("POST", f"{account}/{name}/token", {}, {"spec": {"expirationSeconds": 3600}})
    return replace(cluster.context, user={"token": token["status"]["token"]})


def write_kubeconfig(context: Context, name: str) -> dict[str, Any]:
    """Return a kubeconfig with one context.

    Args:
        context: the server, and who signs in.
        name: the cluster's, which its context must have.
    """
    return {
        "current-context": name,
        "clusters": [{"name": name, "cluster": dict(context.cluster)}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [{"name": name, "user": dict(context.user)}],
    }


def _rule(resource: str, verbs: str) -> Object:
    plural, _, group = resource.partition(".")
    return {"apiGroups": [group], "resources": [plural], "verbs": verbs.split()}
