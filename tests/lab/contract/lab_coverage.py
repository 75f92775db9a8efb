"""Writes docs/lab-coverage.md: which operations the local Azure serves, and which contract tests ask for them.

python -m pytest -n 0 tests/lab/contract -k "arm or azure or vault" --lab-coverage docs/lab-coverage.md
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lab.azure.arm.api_versions import API_VERSIONS, versions_of
from lab.azure.cloud import AzureCloud
from lab.azure.key_vault.checks import API_VERSIONS as VAULT_VERSIONS
from lab.azure.served import describe

OPTION = "--lab-coverage"
HEAD = """# What the lab serves

Each operation of the local Azure, with the versions of its API and the answers that the contract tests got, and the
tests that asked. Whatever is not listed is refused: see [the lab](lab.md). `make lab-coverage` writes this page; a unit
test sees that it lists every operation.
"""


@dataclass
class Seen:
    """What tests saw of an operation."""

    versions: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)
    refusals: set[str] = field(default_factory=set)
    tests: set[str] = field(default_factory=set)


class Recorder:
    """Notes each request that a test sends to a local Azure."""

    def __init__(self, is_on: bool) -> None:
        self._is_on = is_on
        self.test = ""
        self.operations: dict[str, list[str]] = {}
        self._seen: dict[tuple[str, str], Seen] = defaultdict(Seen)

    def watch(self, cloud: AzureCloud) -> None:
        """Note what is asked of a cloud from now on."""
        if self._is_on:
            self.operations = cloud.operations()
            cloud.requests.observers.append(self._note)

    def _note(self, request: web.Request, answer: web.StreamResponse) -> None:
        seen = self._seen[describe(request)]
        seen.tests.add(self.test)
        if answer.status < 400:
            seen.statuses.add(answer.status)
            seen.versions |= {request.query[name] for name in ("api-version",) if name in request.query}
        else:
            seen.refusals.add(f"{answer.status} {_code(answer)}".strip())

    def page(self) -> str:
        """The page."""
        parts = [HEAD, _api_versions()]
        for service, operations in self.operations.items():
            rows = [self._row(service, operation, f"`{operation}`") for operation in operations]
            rows.append(self._row(service, "", "everything else"))
            head = "| operation | api-version | answers | refusals | tests |\n|---|---|---|---|---|"
            parts.append("\n".join((f"## {service}\n", head, *rows)) + "\n")
        return "\n".join(parts)

    def _row(self, service: str, operation: str, label: str) -> str:
        seen = self._seen.get((service, operation), Seen())
        files = sorted({test.partition("::")[0].rpartition("/")[2].removesuffix(".py") for test in seen.tests})
        answers = ", ".join(str(status) for status in sorted(seen.statuses))
        cells = (_short(seen.versions), answers, ", ".join(sorted(seen.refusals)), ", ".join(files) or "none")
        return f"| {label} | {' | '.join(cells)} |"


def _api_versions() -> str:
    rows = [f"| {name} | {', '.join(versions_of(name)[-3:])} | {len(versions_of(name))} |" for name in API_VERSIONS]
    rows.append(f"| Key Vault's secrets | {', '.join(VAULT_VERSIONS[-3:])} | {len(VAULT_VERSIONS)} |")
    head = "## Versions of the APIs\n\nOthers are refused, and the refusal lists all that there are.\n"
    return "\n".join((head, "| provider | among them | in all |", "|---|---|---|", *rows)) + "\n"


def _short(versions: set[str]) -> str:
    ordered = sorted(versions)
    return ", ".join(ordered) if len(ordered) < 4 else f"{ordered[0]} to {ordered[-1]} ({len(ordered)})"


def _code(answer: web.StreamResponse) -> str:
    if "x-ms-error-code" in answer.headers:
        return answer.headers["x-ms-error-code"]
    body: Any = getattr(answer, "body", None)
    try:
        error = json.loads(body)["error"]
    except (TypeError, ValueError, KeyError):
        return ""
    return str(error.get("innererror", error).get("code", "") if isinstance(error, dict) else error)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the option that turns recording on."""
    parser.addoption(OPTION, type=Path, help="write which operations of the local Azure were asked for to this page")


@pytest.fixture(scope="session")
def recorder(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """Notes what all tests ask for, and writes it at the end, if that was asked for."""
    page: Path | None = request.config.getoption(OPTION, default=None)
    made = Recorder(page is not None)
    yield made
    if page and made.operations:
        page.write_text(made.page())


@pytest.fixture(autouse=True)
def recorded(request: pytest.FixtureRequest, recorder: Recorder) -> None:
    """Tell the recorder which test it is."""
    recorder.test = request.node.nodeid
