"""Reviews: questions about users and their rights, answered and forgotten.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from lab.cluster.api.errors import ApiError, no_such_resource
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, timestamp, utc_now
from lab.cluster.api.requests import RequestInfo
from lab.cluster.api.routes.call import Call
from lab.cluster.api.security.authentication import Authenticator
from lab.cluster.api.security.rbac import Authorizer
from lab.cluster.api.security.users import MASTERS, User

_EVERYTHING = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


class Reviews:
    """Answers reviews.

    Args:
        authenticator: knows tokens.
        authorizer: knows rights.
    """

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator, self._authorizer = authenticator, authorizer

    async def answer(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Answer a review of any kind."""
        answers = {
            "SelfSubjectAccessReview": self._own_access,
            "SubjectAccessReview": self._access,
            "LocalSubjectAccessReview": self._access,
            "SelfSubjectRulesReview": self._rules,
            "SelfSubjectReview": self._whoami,
            "TokenReview": self._token,
        }
        if call.info.verb != "create" or kind.kind not in answers:
            raise no_such_resource()
        review = await call.fitted(kind.schema, kind.kind)
        head: Json = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": review.get("metadata") or {}}
        if kind.kind == "SelfSubjectReview":
            head["metadata"]["creationTimestamp"] = timestamp(utc_now())
        if "spec" in review:
            head["spec"] = review["spec"]
        return call.json(head | {"status": answers[kind.kind](call, review.get("spec") or {})}, 201)

    def _own_access(self, call: Call, spec: Json) -> Json:
        return self._judge(call.user, spec)

    def _access(self, call: Call, spec: Json) -> Json:
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        return self._judge(
            User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra), spec
        )

    def _judge(self, user: User, spec: Json) -> Json:
        if self._authorizer.is_allowed(user, _asked(spec)):
            return {"allowed": True}
        return {"allowed": False}

    def _rules(self, call: Call, spec: Json) -> Json:
        namespace = spec.get("namespace", "")
        rules: list[Mapping[str, Any]] = [grant.rule for grant in self._authorizer.grants(call.user, namespace)]
        if MASTERS in call.user.groups:
            rules = [*_EVERYTHING, *rules]
        resources = [rule for rule in rules if "nonResourceURLs" not in rule]
        others = [rule for rule in rules if "nonResourceURLs" in rule]
        return {"resourceRules": resources, "nonResourceRules": others, "incomplete": False}

    def _whoami(self, call: Call, _: Json) -> Json:
        return {"userInfo": _described(call.user)}

    def _token(self, _: Call, spec: Json) -> Json:
        audiences = spec.get("audiences") or []
        try:
            user = self._authenticator.user_of(spec.get("token", ""), audiences)
        except ApiError:
            return {"user": {}, "error": "invalid bearer token"}
        status: Json = {"authenticated": True, "user": _described(user)}
        status["audiences"] = audiences or [self._authenticator.issuer]
        return status


def _asked(spec: Json) -> RequestInfo:
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return RequestInfo(path.get("verb", ""), path.get("path", ""))
    asked = spec.get("resourceAttributes") or {}
    return RequestInfo(
        verb=asked.get("verb", ""),
        path="",
        is_resource=True,
        group=asked.get("group", ""),
        version=asked.get("version", ""),
        namespace=asked.get("namespace", ""),
        resource=asked.get("resource", ""),
        name=asked.get("name", ""),
        subresource=asked.get("subresource", ""),
    )


def _described(user: User) -> Json:
    found: Json = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found
