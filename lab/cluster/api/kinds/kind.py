"""What a kind is: its names, its scope, its verbs and its schema."""

from dataclasses import dataclass, field

from lab.cluster.api.schema.types import Schema

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True)
class Subresource:
    """A part of an object with an address of its own.

    Args:
        name: last part of the path, as "status".
        kind: kind of what is read and written there.
        verbs: what can be done with it.
        api_version: group and version of `kind` when it isn't the parent's, as "autoscaling/v1".
    """

    name: str
    kind: str
    verbs: tuple[str, ...] = STATUS_VERBS
    api_version: str = ""


@dataclass(frozen=True)
class CustomColumn:
    """A column that a CustomResourceDefinition adds to Tables."""

    name: str
    type: str
    json_path: str
    description: str = ""
    priority: int = 0
    format: str = ""


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of one version of one group.

    Args:
        group: API group, empty for core.
        version: as "v1".
        kind: as "Pod".
        plural: name in paths.
        namespaced: whether objects live in namespaces.
        schema: its fields.
        singular: name for people; the lower-case kind when empty.
        verbs: what can be done with it.
        subresources: its parts with an address.
        stored: False for requests that leave nothing behind, as TokenReview.
        generation: whether metadata.generation counts the changes of spec.
        custom: whether a CustomResourceDefinition defines it.
        columns: columns of Tables that the definition adds.
        deprecation: what clients are warned of.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    schema: Schema
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    stored: bool = True
    generation: bool = False
    custom: bool = False
    columns: tuple[CustomColumn, ...] = ()
    deprecation: str = ""

    @property
    def api_version(self) -> str:
        """Group and version as objects carry them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage_key(self) -> tuple[str, str]:
        """Where its objects are stored, the same for all of its versions."""
        return self.group, self.plural

    @property
    def has_status(self) -> bool:
        """Whether status is written at an address of its own."""
        return self.find_subresource("status") is not None

    def find_subresource(self, name: str) -> Subresource | None:
        """The subresource of that name, or None."""
        return next((part for part in self.subresources if part.name == name), None)


@dataclass
class Registry:
    """All kinds that are served now.

    Args:
        kinds: by group, version and plural.
    """

    kinds: dict[tuple[str, str, str], Kind] = field(default_factory=dict)

    def add(self, kind: Kind) -> None:
        """Serve a kind, in place of an earlier one of the same name."""
        self.kinds[kind.group, kind.version, kind.plural] = kind

    def remove(self, kind: Kind) -> None:
        """Serve it no longer."""
        self.kinds.pop((kind.group, kind.version, kind.plural), None)

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind with that plural, or None."""
        return self.kinds.get((group, version, plural))

    def get(self, group: str, plural: str) -> Kind:
        """A kind by group and plural, in any version.

        Raises:
            KeyError: if there is none.
        """
        for (found_group, _, found_plural), kind in self.kinds.items():
            if (found_group, found_plural) == (group, plural):
                return kind
        raise KeyError(f"{plural}.{group}")

    def stored(self) -> list[Kind]:
        """The kinds that have objects."""
        return [kind for kind in self.kinds.values() if kind.stored]
