"""Fixtures of the integration tests."""

from pathlib import Path

import pytest

from infra.lab.tools import get_cache_dir


@pytest.fixture(scope="session")
def postgres_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the lab keeps PostgreSQL's template, so that it is made once."""
    return get_cache_dir(tmp_path_factory.mktemp("state"))
