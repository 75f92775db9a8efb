"""Tokens of service accounts, as kubelets and CSI drivers ask for them.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from datetime import timedelta

from aiohttp import web

from lab.cluster.api.errors import bad_request, bad_value, conflict, invalid, not_found
from lab.cluster.api.kinds.kind import Kind, Registry
from lab.cluster.api.objects import Json, dig, metadata, timestamp
from lab.cluster.api.routes.call import Call
from lab.cluster.api.schema.types import built_in
from lab.cluster.api.security.tokens import BoundObject, ServiceAccountTokens
from lab.cluster.api.store import Store

_SCHEMA = "io.k8s.api.authentication.v1.TokenRequest"
_DEFAULT_SECONDS = 3600
_LEAST_SECONDS = 600
_MOST_SECONDS = 1 << 32
_BOUND_TO = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


class AccountTokens:
    """Answers token requests.

    Args:
        store: where service accounts are, and what tokens are bound to.
        registry: the kinds.
        tokens: makes the tokens.
    """

    def __init__(self, store: Store, registry: Registry, tokens: ServiceAccountTokens) -> None:
        self._store, self._registry, self._tokens = store, registry, tokens

    async def answer(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Make a token for a service account."""
        found = self._store.find(kind, call.info.namespace, call.info.name)
        if found is None:
            raise not_found(kind.plural, kind.group, call.info.name)
        request = await call.fitted(built_in()[_SCHEMA], "TokenRequest")
        _agree(call, request)
        spec = request.get("spec") or {}
        seconds = _seconds(spec)
        bound = self._bound(call.info.namespace, call.info.name, spec.get("boundObjectRef"))
        account = metadata(found.obj)
        audiences = list(spec.get("audiences") or [self._tokens.issuer])
        token, expires_at = self._tokens.issue(
            account["namespace"], account["name"], account["uid"], audiences, timedelta(seconds=seconds), bound
        )
        answer: Json = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        answer["metadata"] = {key: account[key] for key in ("name", "namespace", "uid")}
        answer["metadata"]["creationTimestamp"] = timestamp(self._tokens.now())
        answer["spec"] = spec | {"audiences": audiences, "expirationSeconds": seconds}
        answer["spec"].setdefault("boundObjectRef", None)
        answer["status"] = {"token": token, "expirationTimestamp": timestamp(expires_at)}
        return call.json(answer, 201)

    def _bound(self, namespace: str, account: str, wanted: Json | None) -> dict[str, BoundObject]:
        if not wanted:
            return {}
        kind, name = wanted.get("kind", ""), wanted.get("name", "")
        if kind not in _BOUND_TO:
            raise bad_request(f'cannot bind token for serviceaccount "{account}" to {kind}')
        where = "" if kind == "Node" else namespace
        found = self._store.find(self._registry.get("", _BOUND_TO[kind]), where, name)
        if found is None:
            raise not_found(_BOUND_TO[kind], "", name)
        uid = metadata(found.obj)["uid"]
        if wanted.get("uid") and wanted["uid"] != uid:
            why = f"the UID in the bound object reference ({wanted['uid']}) does not match the UID in record. "
            why += "The object might have been deleted and then recreated"
            raise conflict(_BOUND_TO[kind], "", name, why)
        if kind != "Pod":
            return {kind.lower(): BoundObject(kind, name, uid)}
        if dig(found.obj, "spec", "serviceAccountName") != account:
            raise bad_request(
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            )
        return self._pod_and_node(found.obj)

    def _pod_and_node(self, pod: Json) -> dict[str, BoundObject]:
        """A token bound to a pod says its node as well."""
        meta, bound = metadata(pod), {}
        if node_name := dig(pod, "spec", "nodeName"):
            node = self._store.find(self._registry.get("", "nodes"), "", node_name)
            if node is not None:
                bound["node"] = BoundObject("Node", node_name, metadata(node.obj)["uid"])
        return bound | {"pod": BoundObject("Pod", meta["name"], meta["uid"])}


def _agree(call: Call, request: Json) -> None:
    for field, wanted in (("name", call.info.name), ("namespace", call.info.namespace)):
        said = metadata(request).get(field)
        if said and said != wanted:
            raise bad_request(f"the {field} of the object ({said}) does not match the {field} on the URL ({wanted})")


def _seconds(spec: Json) -> int:
    seconds = spec.get("expirationSeconds")
    if seconds is None:
        return _DEFAULT_SECONDS
    findings = []
    if seconds < _LEAST_SECONDS:
        text = "may not specify a duration less than 10 minutes"
        findings.append(bad_value("spec.expirationSeconds", seconds, text))
    if seconds > _MOST_SECONDS:
        text = "may not specify a duration larger than 2^32 seconds"
        findings.append(bad_value("spec.expirationSeconds", seconds, text))
    if findings:
        raise invalid("TokenRequest", "authentication.k8s.io", "", findings)
    return int(seconds)
