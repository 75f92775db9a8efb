"""ARM paths: what a request names, compared without case.

https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
"""

from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True)
class Path:
    """A path that ARM was asked for: `SCOPE[/providers/NAMESPACE](/TYPE/NAME)*[/TYPE]`.

    Args:
        scope: what stands before the last `/providers/`; empty when there is none.
        namespace: the provider, as "Microsoft.Compute"; empty for groups and subscriptions.
        types: the resource types from left to right.
        names: their names; one less than `types` when the path is a collection or an action.
    """

    scope: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def is_collection(self) -> bool:
        """Whether the path ends with a type: a list, or an action when it is posted to."""
        return len(self.types) > len(self.names)

    @property
    def type(self) -> str:
        """The full type, as "Microsoft.Storage/storageAccounts/blobServices"."""
        return "/".join((self.namespace, *self.types)) if self.namespace else "/".join(self.types)

    @property
    def name(self) -> str:
        """The last name, empty when there is none."""
        return self.names[-1] if self.names else ""

    @property
    def last(self) -> str:
        """The last type: the collection or the action."""
        return self.types[-1] if self.types else ""

    @property
    def owner(self) -> "Path":
        """The path without its trailing type, or without its last pair."""
        keep = len(self.names) if self.is_collection else len(self.names) - 1
        return Path(self.scope, self.namespace, self.types[:keep], self.names[:keep])

    @property
    def subscription(self) -> str:
        """The subscription that it is in, empty when there is none."""
        return self._part("subscriptions")

    @property
    def group(self) -> str:
        """The name of the resource group that it is in, empty when there is none."""
        return self._part("resourcegroups")

    def _part(self, wanted: str) -> str:
        parts = str(self).split("/")
        for kind, name in zip(parts[1::2], parts[2::2], strict=False):
            if kind.lower() == "providers":
                return ""
            if kind.lower() == wanted:
                return name
        return ""

    def __str__(self) -> str:
        provider = f"/providers/{self.namespace}" if self.namespace and self.types else ""
        pairs = "".join(f"/{kind}/{name}" for kind, name in zip(self.types, self.names, strict=False))
        return f"{self.scope}{provider}{pairs}{'/' + self.last if self.is_collection else ''}"


def parse(path: str) -> Path:
    """Take a path apart; every path has a reading, whether or not something is there."""
    parts = [unquote(part) for part in path.strip("/").split("/") if part]
    lowered = [part.lower() for part in parts]
    if "providers" not in lowered:
        return Path("", "", tuple(parts[0::2]), tuple(parts[1::2]))
    at = len(lowered) - 1 - lowered[::-1].index("providers")
    scope = "".join(f"/{part}" for part in parts[:at])
    rest = parts[at + 1 :]
    return Path(scope, rest[0] if rest else "", tuple(rest[1::2]), tuple(rest[2::2]))


def key(resource_id: str) -> str:
    """The form of an id that is compared: lower case, no slash at the end."""
    return "/" + resource_id.strip("/").lower()


def is_within(resource_id: str, scope: str) -> bool:
    """Whether an id is `scope` or lies below it."""
    return key(resource_id) == key(scope) or key(resource_id).startswith(key(scope).rstrip("/") + "/")
