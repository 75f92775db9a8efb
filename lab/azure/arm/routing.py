"""Which provider answers a request, and the action that it takes to be allowed to ask."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lab.azure.arm import errors
from lab.azure.arm.availability import RIGHTS
from lab.azure.arm.context import Call
from lab.azure.arm.ids import Path
from lab.azure.arm.operations import Reply

OPERATION_SEGMENTS = {"operations", "operationresults", "azureasyncoperation", "asyncoperations"}
FOLLOWING, REGISTERING = "GET Microsoft.*/locations/operations/{id}", "POST Microsoft.*/register"
VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


@dataclass(frozen=True)
class Route:
    """A way to an answer.

    Args:
        handler: makes it.
        action: what the caller must be allowed to do; empty when anybody may.
        scope: where.
    """

    handler: Callable[[Call], Awaitable[Reply]]
    action: str
    scope: str


class Routing:
    """Finds the provider for a request.

    Args:
        kinds: what answers, by lower-case resource type; those without a provider by their path, as "subscriptions".
        availability: answers checkNameAvailability.
    """

    def __init__(self, kinds: Mapping[str, Any], availability: Callable[[Call], Awaitable[Reply]]) -> None:
        self._kinds, self._availability = kinds, availability

    def find(self, call: Call) -> Route:
        """The route of a request.

        Raises:
            ArmError: 404 for a type that is not served, 405 for a method that it does not take.
        """
        path = call.path
        if not path.types:
            return self._providers(call)
        if path.last.lower() == "register" and not path.names:
            return self._register(call)
        if path.is_collection and path.last.lower() == "checknameavailability":
            return self._name_check(call)
        action = self._action(call) if path.is_collection else None
        if action is not None:
            return action
        kind = self._kinds.get(path.type.lower())
        if kind is None:
            raise errors.type_not_found(path.namespace or "Microsoft.Resources", "/".join(path.types))
        name = "list_all" if path.is_collection else call.method.lower()
        is_served = call.method == "GET" and hasattr(kind, name) if path.is_collection else _takes(kind, call.method)
        if not is_served:
            raise errors.not_supported(call.method, kind.type_name)
        return Route(getattr(kind, name), *self._right(kind, call))

    def operations(self) -> list[str]:
        """The names of all operations that are served, as "PUT Microsoft.KeyVault/vaults/{name}"."""
        found = [FOLLOWING, REGISTERING, *(f"POST {right.rpartition('/')[0]}" for right in RIGHTS.values())]
        for kind in dict.fromkeys(self._kinds.values()):
            name = kind.type_name
            found += [f"{verb} {name}/{{name}}" for verb in VERBS if _takes(kind, verb)]
            found += [f"GET {name}"] if hasattr(kind, "list_all") else []
            found += [f"POST {name}/{{name}}/{action}" for action in getattr(kind, "actions", dict)()]
        return found

    def name_of(self, method: str, path: Path) -> str:
        """The name of the operation that a request is about; empty when it is not served."""
        last = path.last.lower()
        if last in OPERATION_SEGMENTS and not path.is_collection:
            return FOLLOWING
        if not path.types:
            return f"GET Microsoft.Resources/subscriptions/providers{'/{name}' if path.namespace else ''}"
        if last == "register" and not path.names:
            return REGISTERING
        if path.is_collection and last == "checknameavailability":
            right = RIGHTS.get(path.namespace.lower(), "")
            return f"POST {right.rpartition('/')[0]}" if right else ""
        owner = self._kinds.get(path.owner.type.lower()) if path.is_collection and path.names else None
        if owner is not None and last in getattr(owner, "actions", dict)():
            return f"POST {owner.type_name}/{{name}}/{last}"
        kind = self._kinds.get(path.type.lower())
        return f"{method} {kind.type_name}{'' if path.is_collection else '/{name}'}" if kind else ""

    def _right(self, kind: Any, call: Call) -> tuple[str, str]:
        path = call.path
        scope = (str(path.owner) if path.names else path.scope) if path.is_collection else str(path)
        is_public = not path.scope and getattr(kind, "is_public", False)
        if is_public or not (scope or path.namespace):
            return "", ""
        return f"{action_type(kind)}/{VERBS[call.method]}", scope or "/"

    def _name_check(self, call: Call) -> Route:
        path = call.path
        right = RIGHTS.get(path.namespace.lower())
        if right is None:
            raise errors.type_not_found(path.namespace, "/".join(path.types))
        if call.method != "POST":
            raise errors.not_supported(call.method, f"{path.namespace}/{path.last}")
        return Route(self._availability, right, path.scope)

    def _action(self, call: Call) -> Route | None:
        owner = call.path.owner
        kind = self._kinds.get(owner.type.lower())
        if kind is None or not owner.names or not hasattr(kind, "actions"):
            return None
        found = kind.actions().get(call.path.last.lower())
        if found is None:
            return None

        async def act(call: Call) -> Reply:
            reply: Reply = await found(kind.require(owner), replace(call, path=owner))
            return reply

        verb = "read" if call.method == "GET" else "action"
        return Route(act, f"{action_type(kind)}/{call.path.last}/{verb}", str(owner))

    def _providers(self, call: Call) -> Route:
        kind, path = self._kinds["subscriptions/providers"], call.path
        if call.method != "GET":
            raise errors.not_supported(call.method, kind.type_name)
        allowed = f"{kind.type_name}/read" if path.scope else ""
        return Route(kind.get if path.namespace else kind.list_all, allowed, path.scope)

    def _register(self, call: Call) -> Route:
        kind, path = self._kinds["subscriptions/providers"], call.path
        if call.method != "POST":
            raise errors.not_supported(call.method, kind.type_name)
        return Route(kind.register, f"{path.namespace}/register/action", path.scope)


def _takes(kind: Any, method: str) -> bool:
    return method in getattr(kind, "methods", VERBS) and method in VERBS and hasattr(kind, method.lower())


def action_type(kind: Any) -> str:
    """The type as actions name it."""
    return str(getattr(kind, "action_type", kind.type_name))
