"""What a request asks for: verb, resource and object, read off its method, path and query.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lab.cluster.api.errors import bad_request
from lab.cluster.api.selectors import name_in_field_selector

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_PARTS = ("status", "finalize")


@dataclass(frozen=True)
class RequestInfo:
    """A request, understood.

    Args:
        verb: get, list, watch, create, update, patch, delete or deletecollection; for other paths the method.
        path: the whole path.
        is_resource: whether it addresses resources rather than a path as /version.
        subresource: as "status", empty for the object itself.
        rest: path below the subresource, for proxies.
    """

    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


def is_true(query: Mapping[str, str], name: str) -> bool:
    """Whether a flag of the query is set."""
    return query.get(name, "").lower() in ("true", "1")


def integer(query: Mapping[str, str], name: str, default: int = 0) -> int:
    """A number of the query.

    Raises:
        ApiError: 400 if it is none.
    """
    text = query.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _split(path: str) -> tuple[str, str, list[str]] | None:
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        return "", parts[1], parts[2:]
    if parts[0] == "apis" and len(parts) > 3:
        return parts[1], parts[2], parts[3:]
    return None


def understand(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """Read a request."""
    verb = _VERBS.get(method, method.lower())
    found = _split(path)
    if found is None:
        return RequestInfo(verb, path)
    group, version, parts = found
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_PARTS:
            parts = parts[2:]
    parts += [""] * (3 - len(parts))
    resource, name, subresource, rest = parts[0], parts[1], parts[2], "/".join(parts[3:])
    if not name:
        verb, name = _collection(verb, query)
    return RequestInfo(verb, path, True, group, version, namespace, resource, name, subresource, rest)


def _collection(verb: str, query: Mapping[str, str]) -> tuple[str, str]:
    if verb == "delete":
        return "deletecollection", ""
    if verb != "get":
        return verb, ""
    # A list of one name needs the right for that name only.
    name = name_in_field_selector(query.get("fieldSelector", ""))
    return ("watch" if is_true(query, "watch") else "list"), name
