"""Discovery: which groups, versions and resources there are, aggregated and one by one.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from collections.abc import Iterable

from lab.cluster.api.kinds.kind import Kind, Registry, Subresource
from lab.cluster.api.objects import Json

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_AGGREGATED_KIND = "APIGroupDiscoveryList"


def wants_aggregated(accept: str) -> bool:
    """Whether an Accept header prefers the aggregated form that is spoken here."""
    for part in accept.split(","):
        parameters = {word.strip() for word in part.split(";")}
        if f"as={_AGGREGATED_KIND}" in parameters and "v=v2" in parameters:
            return True
        if parameters == {"application/json"}:
            return False
    return False


def aggregated(registry: Registry, core: bool) -> Json:
    """All groups with all of their resources: the core group, or all others."""
    groups = ["" if core else group for group in _groups(registry) if core == (group == "")]
    items = []
    for group in groups:
        versions = [
            {"version": version, "resources": [_discovered(kind) for kind in kinds], "freshness": "Current"}
            for version, kinds in _versions(registry, group).items()
        ]
        items.append({"metadata": {"name": group} if group else {}, "versions": versions})
    return {"kind": _AGGREGATED_KIND, "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def core_versions(address: str) -> Json:
    """The answer at /api."""
    servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers}


def group_list(registry: Registry) -> Json:
    """The answer at /apis."""
    groups = [_group(registry, group) for group in _groups(registry) if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def find_group(registry: Registry, group: str) -> Json | None:
    """The answer at /apis/GROUP, None if there is no such group."""
    if not group or group not in _groups(registry):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(registry, group)


def find_resources(registry: Registry, group: str, version: str) -> Json | None:
    """The answer at /api/v1 or /apis/GROUP/VERSION, None if there is no such version."""
    kinds = _versions(registry, group).get(version)
    if not kinds:
        return None
    resources = []
    for kind in kinds:
        resources.append(_resource(kind))
        resources += [_subresource(kind, part) for part in kind.subresources]
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": kinds[0].api_version}
    if not group:
        del head["apiVersion"]
    return head | {"resources": resources}


def _groups(registry: Registry) -> list[str]:
    return list(dict.fromkeys(kind.group for kind in registry.kinds.values()))


def _versions(registry: Registry, group: str) -> dict[str, list[Kind]]:
    found: dict[str, list[Kind]] = {}
    for kind in registry.kinds.values():
        if kind.group == group:
            found.setdefault(kind.version, []).append(kind)
    return {version: sorted(kinds, key=lambda kind: kind.plural) for version, kinds in found.items()}


def _group(registry: Registry, group: str) -> Json:
    versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in _versions(registry, group)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _optional(kind: Kind) -> Json:
    found: Json = {}
    if kind.short_names:
        found["shortNames"] = list(kind.short_names)
    if kind.categories:
        found["categories"] = list(kind.categories)
    return found


def _verbs(verbs: Iterable[str]) -> list[str]:
    return sorted(verbs)


def _resource(kind: Kind) -> Json:
    named: Json = {"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind}
    return named | {"verbs": _verbs(kind.verbs)} | _optional(kind)


def _subresource(kind: Kind, part: Subresource) -> Json:
    named: Json = {"name": f"{kind.plural}/{part.name}", "singularName": "", "namespaced": kind.namespaced}
    if part.api_version:
        group, _, version = part.api_version.rpartition("/")
        named |= {"group": group, "version": version}
    return named | {"kind": part.kind, "verbs": _verbs(part.verbs)}


def _discovered(kind: Kind) -> Json:
    scope = "Namespaced" if kind.namespaced else "Cluster"
    answer: Json = {"resource": kind.plural, "responseKind": _response_kind(kind.api_version, kind.kind, kind.custom)}
    answer |= {"scope": scope, "singularResource": kind.singular, "verbs": _verbs(kind.verbs)} | _optional(kind)
    if kind.subresources:
        answer["subresources"] = [
            {
                "subresource": part.name,
                "responseKind": _response_kind(part.api_version or kind.api_version, part.kind, bool(part.api_version)),
                "verbs": _verbs(part.verbs),
            }
            for part in kind.subresources
        ]
    return answer


def _response_kind(api_version: str, kind: str, say_group: bool) -> Json:
    group, _, version = api_version.rpartition("/")
    return {"group": group if say_group else "", "version": version if say_group else "", "kind": kind}
