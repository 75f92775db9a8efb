"""What the caller may do in a cluster: asked by access reviews, or tried by writes that are thrown away.

    missing = find_missing(cluster, [Right.to("patch", "/apis/apps/v1/namespaces/orders/deployments/api")])
    open_workload(rehearsing(cluster), consumer.workload).restart("preflight")   # changes nothing

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

from infra.kubernetes.client import Cluster, Object

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_AT_ONCE = 4
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class Right:
    """Something that may be done.

    Args:
        verb: get, list, watch, create, update, patch or delete.
        resource: in the plural, as `deployments` or `pods/exec`.
        namespace: where.
        name: of the one object; empty: any.
        group: the resource's API group; empty for the core.
    """

    verb: str
    resource: str
    namespace: str
    name: str = ""
    group: str = ""

    @classmethod
    def to(cls, verb: str, path: str) -> "Right":
        """Return the right that a request to a path in a namespace needs, as the API server works it out."""
        root, *rest = path.strip("/").split("/")
        group, rest = (rest[0], rest[2:]) if root == "apis" else ("", rest[1:])
        _, namespace, resource, name, subresource = (*rest, "", "")[:5]
        return cls(verb, f"{resource}/{subresource}".rstrip("/"), namespace, name, group)

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f" '{self.name}'" if self.name else "")


def find_missing(cluster: Cluster, rights: Iterable[Right]) -> list[Right]:
    """Return the rights that the caller does not have, in the order given."""
    asked = list(dict.fromkeys(rights))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        allowed = list(pool.map(lambda right: _is_allowed(cluster, right), asked))
    return [right for right, is_allowed in zip(asked, allowed, strict=True) if not is_allowed]


def _is_allowed(cluster: Cluster, right: Right) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    review = {"resourceAttributes": {key: value for key, value in attributes.items() if value}}
    answer = cluster.request("POST", _REVIEWS, body=_review("authorization", "SelfSubjectAccessReview", spec=review))
    return bool(answer["status"].get("allowed"))


def get_subject(cluster: Cluster) -> str:
    """Return the caller as `kubectl create rolebinding` is told it: `--user=N`, `--serviceaccount=NAMESPACE:N`."""
    answer = cluster.request("POST", _WHO, body=_review("authentication", "SelfSubjectReview"))
    name = str(answer["status"]["userInfo"].get("username") or "")
    if name.startswith(_ACCOUNT):
        return f"--serviceaccount={name.removeprefix(_ACCOUNT)}"
    return f"--user={name}"


def _review(group: str, kind: str, **parts: Object) -> Object:
    return {"apiVersion": f"{group}.k8s.io/v1", "kind": kind, **parts}


class Rehearsal(Cluster):
    """A connection whose writes are authorised, admitted and validated as ever, and then thrown away."""

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """Send one request, a write with `dryRun=All`. Raises as that of `Cluster`."""
        dry_run = {} if method == "GET" else {"dryRun": "All"}
        return super().request(method, path, {**(query or {}), **dry_run}, body, content_type)


def rehearsing(cluster: Cluster) -> Rehearsal:
    """Return a connection to the same cluster whose writes change nothing. It ends with the given one."""
    return Rehearsal(**{field.name: getattr(cluster, field.name) for field in fields(cluster)})
