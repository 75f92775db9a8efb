"""The inventory: the file that says which credentials there are.

load_inventory(Path("credentials.yaml")).get("orders-db")   # -> Credential
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from infra.credentials.credential import Credential
from infra.errors import InvalidInput, NotFound


class _UniqueKeys(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that stands twice: YAML would let the last one win, which may be another credential."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Read a mapping.

        Raises:
            yaml.MarkedYAMLError: a key stands twice.
        """
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key '{key.value}' stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


@dataclass(frozen=True)
class Inventory:
    """All credentials by name.

    Args:
        path: the file that they come from.
        credentials: name -> credential.
    """

    path: Path
    credentials: Mapping[str, Credential]

    def get(self, name: str) -> Credential:
        """Return the credential called `name`.

        Raises:
            NotFound: there is none; says which there are.
        """
        if name not in self.credentials:
            raise NotFound(
                "The inventory has no such credential",
                name=name,
                seen=f"{self.path} has {', '.join(sorted(self.credentials)) or 'none'}",
                fix="correct the name, or add the credential to the inventory",
            )
        return self.credentials[name]


def load_inventory(path: Path) -> Inventory:
    """Read and check the inventory.

    Args:
        path: a YAML file with a mapping `credentials` of name -> credential.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is not YAML, or a credential in it cannot be used; names the credential and the field.
    """
    content = load_yaml(path, "KEYTURN_CREDENTIALS")
    entries = content.get("credentials") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        raise InvalidInput(
            "The inventory cannot be used",
            name=str(path),
            seen="it has no mapping `credentials`",
            fix="write `credentials:` and below it each credential by its name",
        )
    return Inventory(path, {str(name): _credential(path, str(name), entry) for name, entry in entries.items()})


def load_yaml(path: Path, setting: str) -> Any:
    """Read a YAML file.

    Args:
        path: the file.
        setting: the variable that names another one, for the error.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is not YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 it is a SafeLoader
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
        raise InvalidInput(
            "The file cannot be used",
            name=f"{path}, line {where.line + 1}" if where else str(path),
            seen=str(getattr(error, "problem", "") or "it cannot be parsed"),
            fix="correct that line",
        ) from None


def describe_errors(error: ValidationError) -> str:
    """Say which fields cannot be used and why, without their values."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}" for each in found)


def _credential(path: Path, name: str, entry: Any) -> Credential:
    fields = entry if isinstance(entry, dict) else {}
    try:
        return Credential.model_validate({**fields, "name": name})
    except ValidationError as error:
        raise InvalidInput(
            "The credential cannot be used",
            name=f"{name} in {path}",
            seen=describe_errors(error),
            fix="correct these fields",
        ) from None
