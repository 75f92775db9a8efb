"""What unit tests need to be of use to `make mutants`."""

import os
import sys
from importlib import reload

import pytest

from infra.rotation.strategies import STRATEGIES

TABLES = ("subjects", "conditions", "phases", "alternating", "in_place", "managed", "recreate")


@pytest.fixture(autouse=True)
def fresh_tables(request: pytest.FixtureRequest) -> None:
    """Build the strategies' tables anew where mutants are tried: a mutant is switched on when they stand already."""
    if "MUTANT_UNDER_TEST" in os.environ and "rotation" in request.path.name:
        package = "infra.rotation.strategies"
        for name in TABLES:
            reload(sys.modules[f"{package}.{name}"])
        STRATEGIES.update(reload(sys.modules[package]).STRATEGIES)
