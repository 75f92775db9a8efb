"""A subscription with nothing in it: a lab of its own, emptied after each test."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.azure import groups, vaults
from infra.settings import Settings
from infra.targets import Stack
from lab.control import lifecycle
from testing.labs import RunningLab, make_state_folder

EMPTIED = Stack(poll_interval_seconds=2)


@contextmanager
def make_empty_lab() -> Iterator[RunningLab]:
    """Start a lab for a block."""
    options = lifecycle.StartOptions(state=make_state_folder(), operation_seconds=0.05)
    with lifecycle.attached(options) as info:
        yield RunningLab(options, info)


@contextmanager
def entered(lab: RunningLab) -> Iterator[None]:
    """Make the lab's variables this process' own for a block, and leave nothing in it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in lab.env.items():
            patch.setenv(name, value)
        patch.setenv("KEYTURN_PROPAGATION_TIMEOUT_SECONDS", "20")
        yield
        if groups.delete_group(EMPTIED.resource_group, Settings()):
            vaults.purge_vault(EMPTIED.vault, Settings())


def is_empty() -> bool:
    """Tell whether nothing is there: no group, no vault, not even a soft-deleted one."""
    settings = Settings()
    there = groups.find_group(EMPTIED.resource_group, settings)
    return there is None and vaults.find_deleted_vault(EMPTIED.vault, settings) is None
