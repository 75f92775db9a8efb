"""The walkthrough's stack with something changed: its files written anew, beside the shipped manifests."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.provisioning.options import STACK_FILE, Stack, get_stack
from infra.settings import Settings
from testing.labs import ROOT
from testing.rotating import STACK

ChangeStack = Callable[..., Stack]


def change_stack(
    folder: Path,
    patch: pytest.MonkeyPatch,
    database: Mapping[str, Any] | None = None,
    both: Mapping[str, Any] | None = None,
    **names: Any,
) -> Stack:
    """Write stack and inventory with changes to a folder, and let the flows of this process read those.

    Args:
        folder: an empty one.
        patch: undoes it.
        database: changed fields of the credential of the database in the cluster.
        both: changed fields of both credentials.
        names: changed fields of the stack's own file.
    """
    credentials = yaml.safe_load((ROOT / "credentials.yaml").read_text())["credentials"]
    for name, fields in credentials.items():
        _merge(fields, {**(both or {}), **(database or {} if name == STACK.database.name else {})})
    (folder / "credentials.yaml").write_text(yaml.safe_dump({"credentials": credentials}))
    shutil.copytree(STACK.folder, folder / STACK.name)
    path = folder / STACK.name / STACK_FILE
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **names}))
    patch.setenv("KEYTURN_STACKS", str(folder))
    patch.setenv("KEYTURN_CREDENTIALS", str(folder / "credentials.yaml"))
    return get_stack(STACK.name, Settings())


def _merge(fields: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        fields[name] = {**fields[name], **value} if isinstance(value, dict) else value
