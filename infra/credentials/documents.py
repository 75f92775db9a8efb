"""YAML files that people write: their values, and the line on which each stands.

document = read_document(Path("credentials.yaml"), "KEYTURN_CREDENTIALS")
find_line(document, ("credentials", "orders-db", "vault"))   # -> 12
"""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from infra.errors import InvalidInput, NotFound

Node: TypeAlias = Any
"""A node of PyYAML, which has no types."""
Location = tuple[str | int, ...]
"""The keys and positions that lead to a value."""
_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_parsed: dict[Path, tuple[str, Node | None]] = {}
"""Path -> its text and nodes as they were last: to parse an inventory of 1,000 takes a good part of a rotation."""


class _Values(yaml.SafeLoader):  # type: ignore[misc]
    """Makes values of nodes. 22:00 is a time of day, as in YAML 1.2, and not the number 1320."""


def _keep_clock(loader: _Values, node: yaml.ScalarNode) -> Any:
    if ":" in node.value:
        return node.value
    is_int = node.tag.endswith(":int")
    return loader.construct_yaml_int(node) if is_int else loader.construct_yaml_float(node)


_Values.add_constructor("tag:yaml.org,2002:int", _keep_clock)
_Values.add_constructor("tag:yaml.org,2002:float", _keep_clock)


def load_yaml(path: Path, setting: str) -> Any:
    """Read a YAML file.

    Args:
        path: the file.
        setting: the variable that names another one, for the error.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is not YAML, or a key stands twice: YAML would let the last one win.
    """
    document = read_document(path, setting)
    if document is None:
        return None
    for location, line in find_repeated(document):
        raise _unusable(path, line, f"the key '{location[-1]}' stands twice")
    try:
        return read_value(document)
    except InvalidInput as error:
        raise _unusable(path, document.start_mark.line + 1, error.seen) from None


def read_document(path: Path, setting: str) -> Node | None:
    """Read a YAML file as nodes; None if it is empty.

    Args:
        path: the file.
        setting: the variable that names another one, for the error.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        known = _parsed.get(path)
        if known is None or known[0] != text:
            known = _parsed[path] = (text, _parse(text))
        return known[1]
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "The file is not UTF-8", name=str(path), seen=f"byte {error.start}", fix="save it as UTF-8"
        ) from None
    except OSError as error:
        raise NotFound(
            "The file cannot be read", name=str(path), seen=error.strerror or "", fix=f"set {setting} to its path"
        ) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        seen = str(getattr(error, "problem", "") or "it cannot be parsed")
        raise _unusable(path, where.line + 1 if where else None, seen) from None


def _parse(text: str) -> Node | None:
    loader = _Parser(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _unusable(path: Path, line: int | None, seen: str) -> InvalidInput:
    name = f"{path}, line {line}" if line else str(path)
    return InvalidInput("The file cannot be used", name=name, seen=seen, fix="correct that line")


def read_value(node: Node) -> Any:
    """Return the value of a node.

    Raises:
        InvalidInput: it is none that YAML knows, as a date that does not exist.
    """
    own = copy.deepcopy(node) if _merges(node) else node  # PyYAML carries a merge out in the nodes themselves
    try:
        return _Values("").construct_document(own)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        seen = getattr(error, "problem", None) or "a value that YAML cannot read"
        raise InvalidInput("The value cannot be used", name="", seen=str(seen)) from None


def _merges(node: Node) -> bool:
    """Whether a mapping in it takes over the fields of another one."""
    if isinstance(node, yaml.SequenceNode):
        return any(_merges(item) for item in node.value)
    return any(key.tag == _MERGE or _merges(value) for key, value in list_fields(node))


def list_fields(node: Node | None) -> list[tuple[Node, Node]]:
    """Return key and value of each field of a mapping; none if it is something else."""
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def find_field(node: Node | None, name: str) -> Node | None:
    """Return the value of a mapping's field."""
    return next((value for key, value in list_fields(node) if key.value == name), None)


def is_mapping(node: Node | None) -> bool:
    """Whether it is fields and values."""
    return isinstance(node, yaml.MappingNode)


def find_line(node: Node, location: Sequence[str | int]) -> int:
    """Return the line on which a value stands, or what is nearest around it. What leads nowhere is left out."""
    line: int = node.start_mark.line + 1
    for step in location:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
            continue
        for key, value in list_fields(node):
            if key.value == step:
                line, node = key.start_mark.line + 1, value
                break
    return line


def find_repeated(node: Node, location: Location = ()) -> Iterator[tuple[Location, int]]:
    """Yield each key that stands twice in one mapping, with its line."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from find_repeated(item, (*location, index))
    seen = set()
    for key, value in list_fields(node):
        name = str(key.value)
        if name in seen:
            yield (*location, name), key.start_mark.line + 1
        seen.add(name)
        yield from find_repeated(value, (*location, name))
