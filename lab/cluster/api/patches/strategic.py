"""Strategic merge patch: lists merge by their key, with directives to delete, replace and order.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from collections.abc import Callable
from typing import Any

from lab.cluster.api.errors import bad_request
from lab.cluster.api.objects import Json, clone
from lab.cluster.api.schema.types import Schema

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_merge(schema: Schema | None, target: Json, patch: Json) -> Json:
    """Apply a strategic merge patch to an object and return the result.

    Args:
        schema: schema of `target`; without one lists are replaced.

    Raises:
        ApiError: 400 for a directive that is not known, or an element without its merge key.
    """
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {key: clone(value) for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"Unknown patch type found: {directive}")
    result = _retained(target, patch)
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_field(schema, result, key, value, patch.get(f"{_ORDER}{key}"))
    _apply_list_directives(schema, result, patch)
    return result


def _retained(target: Json, patch: Json) -> Json:
    keep = patch.get(_RETAIN)
    return {key: value for key, value in target.items() if keep is None or key in keep}


def _merge_field(schema: Schema | None, result: Json, key: str, value: Any, order: list[Any] | None) -> None:
    if value is None:
        result.pop(key, None)
        return
    field = schema.field(key) if schema else None
    now = result.get(key)
    if isinstance(value, dict):
        replaced = field is not None and "replace" in field.patch_strategies
        result[key] = strategic_merge(field, now if isinstance(now, dict) and not replaced else {}, value)
    elif isinstance(value, list) and field is not None and "merge" in field.patch_strategies:
        result[key] = _merge_list(field, now if isinstance(now, list) else [], value, order)
    else:
        result[key] = clone(value)


def _merge_list(schema: Schema, target: list[Any], patch: list[Any], order: list[Any] | None) -> list[Any]:
    key = schema.merge_key
    if not key:
        merged = target + [item for item in patch if item not in target]
        return _arranged(merged, target, order or patch, _itself)
    if any(item.get(_DIRECTIVE) == "replace" and key not in item for item in patch):
        return [clone(item) for item in patch if _DIRECTIVE not in item]
    result = list(target)
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        place = next((i for i, old in enumerate(result) if old.get(key) == item[key]), None)
        if item.get(_DIRECTIVE) == "delete":
            result = [old for old in result if old.get(key) != item[key]]
        elif place is None:
            result.append(strategic_merge(schema.items, {}, item))
        else:
            result[place] = strategic_merge(schema.items, result[place], item)
    return _arranged(result, target, order or patch, lambda item: item.get(key))


def _itself(item: Any) -> Any:
    return item


def _arranged(items: list[Any], server: list[Any], wanted: list[Any], identity: Callable[[Any], Any]) -> list[Any]:
    """Order a merged list: what the patch names in its order, what only the server has in the server's.

    Where these two meet, an element of the server comes first only if it stood before the other one on the server.
    """
    asked = {identity(item): place for place, item in reversed(list(enumerate(wanted)))}
    known = {identity(item): place for place, item in enumerate(server)}
    mine = [item for item in items if identity(item) not in asked]
    theirs = sorted((item for item in items if identity(item) in asked), key=lambda item: asked[identity(item)])
    result: list[Any] = []
    while mine and theirs:
        left, right = known.get(identity(mine[0])), known.get(identity(theirs[0]))
        is_before = left is not None and right is not None and left < right
        result.append(mine.pop(0) if is_before else theirs.pop(0))
    return result + mine + theirs


def _apply_list_directives(schema: Schema | None, result: Json, patch: Json) -> None:
    for key, value in patch.items():
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            result[name] = [item for item in result.get(name, []) if item not in value]
        elif key.startswith(_ORDER) and (name := key.removeprefix(_ORDER)) not in patch and name in result:
            field = schema.field(name) if schema else None
            result[name] = _merge_list(field, result[name], [], value) if field else result[name]
