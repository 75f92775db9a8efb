"""Strategic merge patch: lists merge by their key, with directives to delete, replace and order.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from typing import Any

from infra.lab.cluster.api.errors import bad_request
from infra.lab.cluster.api.objects import Json, clone
from infra.lab.cluster.api.schema.types import Schema

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
            _merge_field(schema, result, key, value)
    _apply_list_directives(schema, result, patch)
    return result


def _retained(target: Json, patch: Json) -> Json:
    keep = patch.get(_RETAIN)
    return {key: value for key, value in target.items() if keep is None or key in keep}


def _merge_field(schema: Schema | None, result: Json, key: str, value: Any) -> None:
    if value is None:
        result.pop(key, None)
        return
    field = schema.field(key) if schema else None
    now = result.get(key)
    if isinstance(value, dict):
        replaced = field is not None and "replace" in field.patch_strategies
        result[key] = strategic_merge(field, now if isinstance(now, dict) and not replaced else {}, value)
    elif isinstance(value, list) and field is not None and "merge" in field.patch_strategies:
        result[key] = _merge_list(field, now if isinstance(now, list) else [], value)
    else:
        result[key] = clone(value)


def _merge_list(schema: Schema, target: list[Any], patch: list[Any]) -> list[Any]:
    key = schema.merge_key
    if not key:
        return target + [item for item in patch if item not in target]
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
    return result


def _apply_list_directives(schema: Schema | None, result: Json, patch: Json) -> None:
    for key, value in patch.items():
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            result[name] = [item for item in result.get(name, []) if item not in value]
        elif key.startswith(_ORDER):
            name = key.removeprefix(_ORDER)
            field = schema.field(name) if schema else None
            if name in result:
                result[name] = _ordered(result[name], value, field.merge_key if field else "")


def _ordered(items: list[Any], order: list[Any], key: str) -> list[Any]:
    """Sort by the order asked for; elements that it does not name stay behind the one they followed."""

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = {identity(item): place for place, item in enumerate(order)}
    result: list[tuple[int, int, Any]] = []
    last = -1
    for place, item in enumerate(items):
        last = wanted.get(identity(item), last)
        result.append((last, place, item))
    return [item for _, _, item in sorted(result, key=lambda entry: entry[:2])]
