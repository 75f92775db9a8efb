"""Fixtures of the integration tests of the lab."""

import sys
from pathlib import Path

import pytest

from lab.commands.tools import get_cache_dir

sys.path.append(str(Path(__file__).parents[1] / "contract"))
from kubernetes_world import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(scope="session")
def postgres_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the lab keeps PostgreSQL's template, so that it is made once."""
    return get_cache_dir(tmp_path_factory.mktemp("state"))
