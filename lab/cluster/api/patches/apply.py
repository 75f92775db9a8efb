"""Server-side apply: merge a configuration into the present object, with the ownership of fields and its conflicts.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.cluster.api.errors import ApiError, internal
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, clone, name_of, namespace_of, timestamp
from lab.cluster.api.patches.fields import (
    Path,
    Paths,
    closed,
    compare,
    element_of,
    elements,
    is_granular,
    paths_of,
    spell,
)
from lab.cluster.api.patches.ownership import Manager, Owners, write_owners
from lab.cluster.api.schema.types import Schema


@dataclass(frozen=True)
class Configuration:
    """What is applied.

    Args:
        obj: the configuration, decoded.
        manager: who applies it.
        force: whether to take fields that others own.
    """

    obj: Json
    manager: Manager
    force: bool = False


def apply_configuration(kind: Kind, live: Json, wanted: Configuration, now: datetime) -> Json:
    """The object that results from applying a configuration.

    Args:
        live: the present object; an empty one when there is none.

    Raises:
        ApiError: 409 if it changes fields that others own, with every conflict as a cause.
    """
    _check_lists(kind, wanted.obj)
    owners = Owners.of(live)
    before, applied = owners.get(wanted.manager), _own_section(kind, paths_of(kind.schema, wanted.obj), wanted.manager)
    result: Json = merge(kind.schema, live, wanted.obj)
    kept = closed(applied) | closed(owners.others(wanted.manager))
    result = _without(kind.schema, result, {path for path in before if path not in kept})
    comparison = compare(kind.schema, live, result)
    conflicts = _conflicts(owners, wanted.manager, comparison.changed)
    if conflicts and not wanted.force:
        raise _refusal(kind, conflicts)
    owners.take_from_others(wanted.manager, comparison.changed | comparison.removed)
    owners.set(wanted.manager, applied, timestamp(now))
    write_owners(kind, result, owners)
    return result


def _own_section(kind: Kind, paths: Paths, manager: Manager) -> Paths:
    """What lies outside of the address written to is not applied and not owned."""
    if manager.subresource == "status":
        return {path for path in paths if path[0] == "f:status"}
    if kind.has_status:
        return {path for path in paths if path[0] != "f:status"}
    return paths


def merge(schema: Schema | None, live: Any, wanted: Any) -> Any:
    """`live` with everything that `wanted` names."""
    if not is_granular(schema, wanted) or type(live) is not type(wanted):
        return clone(wanted)
    if isinstance(wanted, dict):
        result = dict(live)
        for key, value in wanted.items():
            child = schema.field(key) if schema else None
            result[key] = merge(child, live[key], value) if key in live else clone(value)
        return result
    return _merge_list(schema, live, wanted)


def _merge_list(schema: Schema | None, live: list[Any], wanted: list[Any]) -> list[Any]:
    """Elements that both have come in the wanted order; the others stay where they were."""
    if schema is None:
        return list(wanted)
    present = {element: item for element, _, item in elements(schema, live)}
    asked = {element: item for element, _, item in elements(schema, wanted)}
    result: dict[str, Any] = {}
    waiting = iter(asked.items())
    for element, item in present.items():
        if element not in asked:
            result[element] = item
        elif element not in result:
            for name, value in waiting:
                result[name] = merge(schema.items, present[name], value) if name in present else clone(value)
                if name == element:
                    break
    for name, value in waiting:
        result[name] = merge(schema.items, present[name], value) if name in present else clone(value)
    return list(result.values())


def _without(schema: Schema | None, value: Any, paths: Paths, here: Path = ()) -> Any:
    """A value without some of its parts; what becomes empty goes too."""
    if not paths or not is_granular(schema, value):
        return value
    kept = []
    for element, child, item in elements(schema, value):
        path = (*here, element)
        if path in paths:
            continue
        below = {candidate for candidate in paths if candidate[: len(path)] == path}
        rest = _without(child, item, below, path)
        if not (below and rest in ({}, []) and item):
            kept.append((element, rest))
    if isinstance(value, dict):
        return {element[2:]: item for element, item in kept}
    return [item for _, item in kept]


def _conflicts(owners: Owners, manager: Manager, changed: Paths) -> list[tuple[Manager, Path]]:
    found = []
    for other, owned in owners.sets.items():
        if other != manager:
            found += [(other, path) for path in sorted(owned.paths & changed)]
    return found


def _refusal(kind: Kind, conflicts: list[tuple[Manager, Path]]) -> ApiError:
    causes, lines = [], []
    by_manager: dict[Manager, list[str]] = {}
    for manager, path in conflicts:
        by_manager.setdefault(manager, []).append(spell(path))
    for manager, fields in by_manager.items():
        text = f'conflict with "{manager.name}"'
        if manager.subresource:
            text += f' with subresource "{manager.subresource}"'
        if manager.operation == "Update":
            text += f" using {kind.api_version}"
        causes += [{"reason": "FieldManagerConflict", "message": text, "field": field} for field in fields]
        lines.append(
            f"{text}: {fields[0]}" if len(fields) == 1 else "\n".join([f"{text}:", *(f"- {f}" for f in fields)])
        )
    count = f"{len(conflicts)} conflict" + ("s" if len(conflicts) > 1 else "")
    if len(by_manager) == 1:
        message = f"Apply failed with {count}: {lines[0]}"
    else:
        message = f"Apply failed with {count}: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, {"causes": causes})


def untyped(kind: Kind, obj: Json, why: str) -> ApiError:
    """500: a configuration that does not fit the kind's schema, as a real server refuses it."""
    where = f"{namespace_of(obj)}/{name_of(obj)}; {kind.api_version}, Kind={kind.kind}"
    return internal(f"failed to create typed patch object ({where}): {why}")


def _check_lists(kind: Kind, obj: Json) -> None:
    """Elements of a list are told apart by their keys, so these must differ."""
    repeated = next(_repeated(kind.schema, obj, ""), None)
    if repeated is not None:
        raise untyped(kind, obj, repeated)


def _repeated(schema: Schema | None, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _repeated(schema.field(key) if schema else None, item, f"{path}.{key}")
    elif isinstance(value, list) and schema is not None and is_granular(schema, value):
        seen: set[str] = set()
        for item in value:
            element = element_of(schema, item)
            if element in seen:
                yield f"{path}: duplicate entries for key {spell((element,))}"
            seen.add(element)
            yield from _repeated(schema.items, item, path + spell((element,)))
