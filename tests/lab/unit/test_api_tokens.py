"""Tokens and rights, without HTTP."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from lab.cluster.api.errors import ApiError
from lab.cluster.api.kinds.builtin import registry
from lab.cluster.api.requests import RequestInfo
from lab.cluster.api.security.rbac import Authorizer
from lab.cluster.api.security.tokens import BoundObject, ServiceAccountTokens, UserTokens
from lab.cluster.api.security.users import MASTERS, User, service_account_user
from lab.cluster.api.store import Store

RBAC = "rbac.authorization.k8s.io"
ISSUER = "https://issuer.example.com/a/"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2024, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def tokens() -> ServiceAccountTokens:
    return ServiceAccountTokens(ISSUER, Clock())


def test_a_user_token_is_good_until_it_expires() -> None:
    clock = Clock()
    tokens = UserTokens(clock)
    token = tokens.issue("dexter", ["team"], timedelta(minutes=5))
    assert tokens.find(token) == User("dexter", ("team", "system:authenticated"))
    clock.now += timedelta(minutes=5)
    assert tokens.find(token) is None
    assert tokens.find("other") is None


def test_an_account_token_ends_with_its_time(tokens: ServiceAccountTokens) -> None:
    clock = tokens.now
    assert isinstance(clock, Clock)
    token, expires_at = tokens.issue("a", "b", "uid", [], timedelta(hours=1), {})
    assert expires_at == clock.now + timedelta(hours=1)
    assert tokens.verify(token)["aud"] == [ISSUER]
    clock.now += timedelta(hours=1)
    with pytest.raises(ApiError) as error:
        tokens.verify(token)
    assert error.value.code == 401


def test_a_token_for_another_audience_or_by_another_key_is_refused(tokens: ServiceAccountTokens) -> None:
    token, _ = tokens.issue("a", "b", "uid", ["api://x"], timedelta(hours=1), {})
    assert tokens.verify(token, ["api://x"])["sub"] == "system:serviceaccount:a:b"
    forged = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "k" * 32, "HS256")
    for wrong, audience in ((token, "api://y"), (forged, "api://x"), ("a.b.c", "api://x")):
        with pytest.raises(ApiError) as error:
            tokens.verify(wrong, [audience])
        assert error.value.code == 401


def test_a_bound_token_says_to_what(tokens: ServiceAccountTokens) -> None:
    bound = {"pod": BoundObject("Pod", "p", "1"), "node": BoundObject("Node", "n", "2")}
    token, _ = tokens.issue("a", "b", "uid", [], timedelta(hours=1), bound)
    claims = tokens.verify(token)["kubernetes.io"]
    assert (claims["pod"], claims["node"]) == ({"name": "p", "uid": "1"}, {"name": "n", "uid": "2"})


def authorizer(rules: list[dict[str, object]], namespace: str = "a", cluster_wide: bool = False) -> Authorizer:
    """Rights of the service account a:b, by one binding."""
    store, kinds = Store(), registry()
    role = {"metadata": {"name": "r", "namespace": "" if cluster_wide else namespace, "uid": "1"}, "rules": rules}
    subject = {"kind": "ServiceAccount", "name": "b", "namespace": "a"}
    reference = {"kind": "ClusterRole" if cluster_wide else "Role", "name": "r"}
    meta = {"name": "x", "namespace": "" if cluster_wide else namespace, "uid": "2"}
    prefix = "cluster" if cluster_wide else ""
    store.put(kinds.get(RBAC, f"{prefix}roles"), role)
    binding = {"metadata": meta, "roleRef": reference, "subjects": [subject]}
    store.put(kinds.get(RBAC, f"{prefix}rolebindings"), binding)
    return Authorizer(store, kinds)


def asks(verb: str, resource: str, namespace: str = "a", name: str = "", group: str = "", sub: str = "") -> RequestInfo:
    return RequestInfo(verb, "", True, group, "v1", namespace, resource, name, sub)


ACCOUNT = service_account_user("a", "b", "uid", {})


def test_a_role_counts_in_its_namespace_alone() -> None:
    rights = authorizer([{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}])
    assert rights.is_allowed(ACCOUNT, asks("get", "secrets"))
    assert not rights.is_allowed(ACCOUNT, asks("get", "secrets", "other"))
    assert not rights.is_allowed(ACCOUNT, asks("list", "secrets"))
    assert not rights.is_allowed(ACCOUNT, asks("get", "secrets", group="x"))
    assert not rights.is_allowed(service_account_user("a", "c", "uid", {}), asks("get", "secrets"))


def test_a_cluster_role_counts_everywhere() -> None:
    rule: dict[str, object] = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["pods", "*/scale"]}
    rights = authorizer([rule], cluster_wide=True)
    assert rights.is_allowed(ACCOUNT, asks("delete", "pods", "anywhere"))
    assert not rights.is_allowed(ACCOUNT, asks("get", "pods", sub="log"))
    assert rights.is_allowed(ACCOUNT, asks("patch", "deployments", group="apps", sub="scale"))


def test_names_and_paths_limit_a_rule() -> None:
    rules: list[dict[str, object]] = [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"]},
        {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/healthz/*"]},
    ]
    rights = authorizer(rules, cluster_wide=True)
    assert rights.is_allowed(ACCOUNT, asks("get", "secrets", name="one"))
    assert not rights.is_allowed(ACCOUNT, asks("get", "secrets", name="two"))
    assert rights.is_allowed(ACCOUNT, RequestInfo("get", "/healthz/ping"))
    assert not rights.is_allowed(ACCOUNT, RequestInfo("get", "/version"))


def test_masters_may_everything() -> None:
    assert authorizer([]).is_allowed(User("root", (MASTERS,)), asks("delete", "secrets"))
