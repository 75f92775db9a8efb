"""The three sets of dependencies: what production installs is all that the product needs, and nothing of the lab's."""

import re
import subprocess
import sys
import tomllib

from testing.labs import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHARED = {"aiohttp", "certifi", "jsonpatch", "psycopg", "pyjwt", "pyyaml"}
"""What the lab names and the product has as well: aiohttp comes with Kubernetes' client, jsonpatch with Prefect."""

IMPORT_PRODUCT = """
import importlib, pkgutil, re, sys
from importlib.metadata import packages_distributions

def name(text):
    return re.sub(r"[-_.]+", "-", text).lower()

installed = set(sys.argv[1].split())
foreign = {top for top, owners in packages_distributions().items() if not installed & {name(owner) for owner in owners}}

class Absent:
    def find_spec(self, module, path=None, target=None):
        if module.partition(".")[0] in foreign | {"lab", "tests", "benchmarks"}:
            raise ModuleNotFoundError(module, name=module)

sys.meta_path.insert(0, Absent())
assert "trustme" in foreign
for package in ("flows", "tasks", "infra"):
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        importlib.import_module(found.name)
"""


def normalised(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def pins(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text().splitlines()
    return {normalised(line): line.split()[0] for line in lines if re.match(r"\w", line)}


def test_production_installs_nothing_of_the_lab_or_of_development() -> None:
    groups = PROJECT["dependency-groups"]
    named = {normalised(requirement) for group in ("lab", "dev") for requirement in groups[group]}

    assert named & set(pins("requirements.lock")) == SHARED


def test_the_locks_have_what_is_named_in_one_version_each_with_hashes() -> None:
    product, rest = pins("requirements.lock"), pins("requirements-dev.lock")

    assert {normalised(requirement) for requirement in PROJECT["project"]["dependencies"]} <= set(product)
    for group in PROJECT["dependency-groups"].values():
        assert {normalised(requirement) for requirement in group} <= set(rest)
    assert {name: pin for name, pin in rest.items() if name in product} == {
        name: pin for name, pin in product.items() if name in rest
    }
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        assert "://" not in text
        assert all(line.endswith("\\") for line in text.splitlines() if re.match(r"\w", line))


def test_the_product_can_be_imported_with_its_own_dependencies_alone() -> None:
    argv = [sys.executable, "-c", IMPORT_PRODUCT, " ".join(pins("requirements.lock"))]

    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
