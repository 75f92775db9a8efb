"""A subscription with nothing in it: a lab of its own, emptied after each test."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.azure.client import Azure
from infra.azure.groups import ResourceGroups
from infra.azure.vaults import Vaults
from infra.settings import Settings
from lab.control import lifecycle
from testing.labs import RunningLab, make_state_folder
from testing.rotating import STACK


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
        with Azure(Settings()) as azure:
            if ResourceGroups(azure, STACK.resource_group).delete():
                Vaults(azure, STACK.resource_group).purge(STACK.vault)


def is_empty() -> bool:
    """Tell whether nothing is there: no group, no vault, not even a soft-deleted one."""
    with Azure(Settings()) as azure:
        exists = ResourceGroups(azure, STACK.resource_group).exists()
        return not exists and Vaults(azure, STACK.resource_group).find_deleted(STACK.vault) is None
