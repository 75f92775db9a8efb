"""The page that tells what the lab serves is not stale."""

import re
from pathlib import Path
from typing import cast

from lab.azure.arm.api_versions import API_VERSIONS, versions_of
from lab.azure.backends import Backends
from lab.azure.cloud import AzureCloud
from lab.control.certificates import Authority
from lab.control.faults import Faults
from lab.control.options import LabOptions

PAGE = Path(__file__).parents[3] / "docs" / "lab-coverage.md"
HOW = "write the page anew: make lab-coverage"


def test_the_page_lists_every_operation_that_the_lab_serves(tmp_path):
    cloud = AzureCloud(LabOptions(tmp_path), cast(Backends, None), cast(Authority, None), Faults())
    listed: dict[str, list[str]] = {}
    for line in PAGE.read_text().splitlines():
        if found := re.fullmatch(r"## (\S+)", line):
            listed[found[1]] = rows = []
        elif found := re.match(r"\| `([^`]+)` \|", line):
            rows.append(found[1])
    assert listed == cloud.operations(), HOW


def test_the_page_tells_how_many_versions_each_provider_has():
    text = PAGE.read_text()
    for name in API_VERSIONS:
        assert f"| {name} | {', '.join(versions_of(name)[-3:])} | {len(versions_of(name))} |" in text, HOW
