"""How a command starts: it imports what it uses, and its imports are never looked through for garbage."""

import gc
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flows
from infra.credentials.schema import make_schema
from infra.provisioning.options import Stack
from testing.labs import ROOT

TELL_AT_END = """
import atexit, gc

def tell():
    print(gc.isenabled(), gc.get_freeze_count() > 50_000)

atexit.register(tell)
"""


def test_a_command_looks_for_garbage_only_in_what_it_makes_after_its_imports(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(TELL_AT_END)
    argv = [sys.executable, "-m", "flows.rotate", "--help"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}

    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.splitlines()[-1] == "True True"


def test_whoever_imports_the_flows_goes_on_looking_for_garbage() -> None:
    assert flows.__doc__
    assert gc.isenabled()


HEAVY = {
    "flows.check": ["prefect", "azure", "kubernetes", "psycopg"],
    "flows.history": ["azure", "kubernetes", "psycopg"],
    "flows.rotate": [
        f"azure.mgmt.{part}"
        for part in ("authorization", "compute", "keyvault", "msi", "network", "postgresqlflexibleservers", "storage")
    ],
}
"""Command -> what it does not need, and would wait for."""


@pytest.mark.parametrize("module", HEAVY)
def test_a_command_imports_no_sdk_that_it_does_not_use(module: str) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert module in imported
    assert not imported & set(HEAVY[module])


def list_patterns(schema: Any) -> Iterator[str]:
    """Yield every pattern of a JSON schema."""
    if isinstance(schema, dict):
        if isinstance(pattern := schema.get("pattern"), str):
            yield pattern
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from list_patterns(part)


def test_no_pattern_takes_long_to_compile_since_it_counts_letters_of_all_of_unicode() -> None:
    patterns = [*list_patterns(make_schema()), *list_patterns(Stack.model_json_schema())]
    assert len(patterns) > 10
    assert [pattern for pattern in patterns if re.search(r"\\w[^\[\]]*\]?\{\d*,\d+\}", pattern)] == []
