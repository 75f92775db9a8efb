"""CustomResourceDefinitions: kinds that come and go while the server runs."""

from lab.cluster.api.kinds.kind import STATUS_VERBS, CustomColumn, Kind, Registry, Subresource
from lab.cluster.api.objects import Json, dig, metadata
from lab.cluster.api.schema.types import ANYTHING, of_custom
from lab.cluster.api.store import Event, Store


class CustomKinds:
    """Serves what CustomResourceDefinitions define.

    Args:
        store: where the definitions are.
        registry: where the kinds go.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store, self._registry = store, registry
        self._definition = registry.get("apiextensions.k8s.io", "customresourcedefinitions")
        store.listen(self._hear)

    def _hear(self, event: Event) -> None:
        if event.now.kind is not self._definition:
            return
        for kind in [k for k in self._registry.kinds.values() if k.custom]:
            if f"{kind.plural}.{kind.group}" == metadata(event.now.obj)["name"]:
                self._registry.remove(kind)
                if event.type == "DELETED":
                    for item in self._store.items(kind):
                        self._store.remove(item)
        if event.type == "DELETED":
            return
        for version in event.now.obj["spec"]["versions"]:
            if version.get("served"):
                self._registry.add(kind_of(event.now.obj, version))


def kind_of(definition: Json, version: Json) -> Kind:
    """The kind that one version of a definition defines."""
    spec, names = definition["spec"], definition["spec"]["names"]
    raw = dig(version, "schema", "openAPIV3Schema")
    parts = version.get("subresources") or {}
    subresources = [Subresource("status", names["kind"], STATUS_VERBS)] if "status" in parts else []
    if "scale" in parts:
        subresources.append(Subresource("scale", "Scale", STATUS_VERBS, "autoscaling/v1"))
    return Kind(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        namespaced=spec["scope"] == "Namespaced",
        schema=of_custom(raw) if raw else ANYTHING,
        singular=names.get("singular") or names["kind"].lower(),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(subresources),
        custom=True,
        columns=tuple(_column(column) for column in version.get("additionalPrinterColumns") or ()),
    )


def _column(raw: Json) -> CustomColumn:
    return CustomColumn(
        raw["name"],
        raw["type"],
        raw["jsonPath"],
        raw.get("description", ""),
        raw.get("priority", 0),
        raw.get("format", ""),
    )
