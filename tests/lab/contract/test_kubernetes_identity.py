"""Who may do what: tokens of service accounts, the documents that prove them, and RBAC."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from kubernetes_world import Api, Json, KubernetesWorld, Space

from testing.waiting import eventually

AUDIENCE = "api://AzureADTokenExchange"
RBAC = "apis/rbac.authorization.k8s.io/v1"


def token_for(space: Space, account: str = "default", **spec: object) -> Json:
    answer = space.api("POST", space.path("serviceaccounts", account) + "/token", {"spec": spec})
    assert answer.code == 201, answer
    return dict(answer.body)


def as_account(space: Space, account: str = "default") -> Api:
    return space.world.as_user(token_for(space, account)["status"]["token"])


def allow(space: Space, account: str, *rules: Json) -> None:
    """Bind a role with these rules to a service account."""
    space.api.create(space.path("roles", group=RBAC), {"metadata": {"name": account}, "rules": list(rules)})
    subject = {"kind": "ServiceAccount", "name": account, "namespace": space.name}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
    body = {"metadata": {"name": account}, "roleRef": reference, "subjects": [subject]}
    space.api.create(space.path("rolebindings", group=RBAC), body)


def rule(*verbs: str, resources: tuple[str, ...] = ("secrets",), names: tuple[str, ...] = ()) -> Json:
    found: Json = {"apiGroups": [""], "resources": list(resources), "verbs": list(verbs)}
    return found | ({"resourceNames": list(names)} if names else {})


def test_a_token_says_who_it_is_for_and_whom(space: Space) -> None:
    answer = token_for(space, audiences=[AUDIENCE], expirationSeconds=3600)
    account = space.api.get(space.path("serviceaccounts", "default"))["metadata"]
    claims = jwt.decode(answer["status"]["token"], options={"verify_signature": False})
    assert claims["aud"] == [AUDIENCE]
    assert claims["sub"] == f"system:serviceaccount:{space.name}:default"
    assert claims["iss"] == space.api.get("/.well-known/openid-configuration")["issuer"]
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["kubernetes.io"] == {
        "namespace": space.name,
        "serviceaccount": {"name": "default", "uid": account["uid"]},
    }
    expires = datetime.fromisoformat(answer["status"]["expirationTimestamp"])
    assert expires == datetime.fromtimestamp(claims["exp"], UTC)


def test_a_token_is_proved_by_the_published_key(space: Space) -> None:
    token = token_for(space, audiences=[AUDIENCE])["status"]["token"]
    keys = space.api.get("/openid/v1/jwks")["keys"]
    header = jwt.get_unverified_header(token)
    assert (header["alg"], [key["kid"] for key in keys]) == ("RS256", [header["kid"]])
    key = jwt.PyJWK(keys[0])
    assert jwt.decode(token, key, ["RS256"], audience=AUDIENCE)["sub"].endswith(":default")
    configuration = space.api.get("/.well-known/openid-configuration")
    assert configuration["id_token_signing_alg_values_supported"] == ["RS256"]
    assert configuration["jwks_uri"].endswith("/openid/v1/jwks")


def test_a_token_can_be_bound_to_a_pod_and_ends_with_it(space: Space) -> None:
    pod = {"metadata": {"name": "one"}, "spec": {"schedulerName": "no", "containers": [{"name": "c", "image": "i"}]}}
    made = space.api.create(space.path("pods"), pod)["metadata"]
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "one", "uid": made["uid"]}
    token = token_for(space, boundObjectRef=reference)["status"]["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["kubernetes.io"]["pod"] == {"name": "one", "uid": made["uid"]}
    user = space.world.as_user(token)
    assert user("GET", "/api").code == 200
    space.api("DELETE", space.path("pods", "one"), {"gracePeriodSeconds": 0})
    eventually(lambda: user("GET", "/api").code == 401)
    wrong = {"spec": {"boundObjectRef": reference | {"name": "two"}}}
    assert space.api("POST", space.path("serviceaccounts", "default") + "/token", wrong).code == 404


def test_a_short_lifetime_is_refused(space: Space) -> None:
    path = space.path("serviceaccounts", "default") + "/token"
    answer = space.api("POST", path, {"spec": {"expirationSeconds": 60}})
    assert (answer.code, answer.causes) == (422, [("FieldValueInvalid", "spec.expirationSeconds")])
    assert answer.message.endswith("may not specify a duration less than 10 minutes")


@pytest.mark.parametrize("token", ["wrong", "a.b.c"])
def test_an_unknown_token_is_unauthorized(kubernetes: KubernetesWorld, token: str) -> None:
    answer = kubernetes.as_user(token)("GET", "/api/v1/namespaces")
    assert (answer.code, answer.reason, answer.message) == (401, "Unauthorized", "Unauthorized")


def test_a_token_for_others_is_unauthorized(space: Space) -> None:
    token = token_for(space, audiences=[AUDIENCE])["status"]["token"]
    assert space.world.as_user(token)("GET", "/api").code == 401


def test_an_expired_token_is_unauthorized(kubernetes: KubernetesWorld) -> None:
    if kubernetes.small is None:
        pytest.skip("a real cluster gives no token that is shorter than ten minutes")
    small = kubernetes.small
    expired = small.call(small.server.token, "masterclient", ["system:masters"], timedelta(seconds=0))
    answer = kubernetes.as_user(expired)("GET", "/api/v1/namespaces")
    assert (answer.code, answer.reason) == (401, "Unauthorized")


def test_nobody_is_anonymous_and_sees_only_health(kubernetes: KubernetesWorld) -> None:
    nobody = kubernetes.as_user("")
    assert nobody("GET", "/readyz").code == 200
    answer = nobody("GET", "/api/v1/namespaces/default/secrets")
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert answer.message == (
        'secrets is forbidden: User "system:anonymous" cannot list resource "secrets" in API group "" '
        'in the namespace "default"'
    )


def test_a_service_account_may_nothing_until_it_is_bound(space: Space) -> None:
    space.api.create(space.path("secrets"), {"metadata": {"name": "userpass"}})
    user = as_account(space)
    answer = user("GET", space.path("secrets", "userpass"))
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert answer.message == (
        f'secrets "userpass" is forbidden: User "system:serviceaccount:{space.name}:default" cannot get resource '
        f'"secrets" in API group "" in the namespace "{space.name}"'
    )
    allow(space, "default", rule("get"))
    eventually(lambda: user("GET", space.path("secrets", "userpass")).code == 200)
    assert user("GET", space.path("secrets")).code == 403
    assert user("DELETE", space.path("secrets", "userpass")).code == 403
    assert user("GET", "/api/v1/namespaces/default/secrets/userpass").code == 403


def test_a_rule_can_be_for_one_name(space: Space) -> None:
    for name in ("one", "two"):
        space.api.create(space.path("secrets"), {"metadata": {"name": name}})
    allow(space, "default", rule("get", "list", "watch", names=("one",)))
    user = as_account(space)
    eventually(lambda: user("GET", space.path("secrets", "one")).code == 200)
    assert user("GET", space.path("secrets", "two")).code == 403
    assert user("GET", space.path("secrets")).code == 403
    assert user("GET", space.path("secrets") + "?fieldSelector=metadata.name%3Done").code == 200


def test_subresources_have_rules_of_their_own(space: Space) -> None:
    allow(space, "default", rule("get", resources=("serviceaccounts",)))
    user = as_account(space)
    path = space.path("serviceaccounts", "default")
    eventually(lambda: user("GET", path).code == 200)
    answer = user("POST", path + "/token", {"spec": {}})
    assert (answer.code, 'cannot create resource "serviceaccounts/token"' in answer.message) == (403, True)


def test_everybody_discovers_and_asks_for_his_rights(space: Space) -> None:
    allow(space, "default", rule("get"))
    user = as_account(space)
    assert user("GET", "/apis").code == 200
    secret = space.path("secrets", "none")
    eventually(lambda: user("GET", secret).code == 404)
    for verb, allowed in (("get", True), ("list", False)):
        attributes = {"verb": verb, "resource": "secrets", "namespace": space.name}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        status = user.create(path, {"spec": {"resourceAttributes": attributes}})["status"]
        assert status["allowed"] is allowed
    reviewed = user.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert reviewed["status"]["userInfo"]["username"] == f"system:serviceaccount:{space.name}:default"
    assert f"system:serviceaccounts:{space.name}" in reviewed["status"]["userInfo"]["groups"]


def test_a_token_review_tells_whose_a_token_is(space: Space) -> None:
    token = token_for(space, audiences=[AUDIENCE])["status"]["token"]
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = space.api.create(path, {"spec": {"token": token, "audiences": [AUDIENCE]}})["status"]
    assert (status["authenticated"], status["audiences"]) == (True, [AUDIENCE])
    assert status["user"]["username"] == f"system:serviceaccount:{space.name}:default"
    other = space.api.create(path, {"spec": {"token": token}})["status"]
    assert not other.get("authenticated")
