"""The runbook says of every verdict, error and code what it means, and the documentation's links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import errors
from infra.errors import Code, KeyturnError
from infra.rotation.execution import Verdict
from tasks.reports.rotation import ENDINGS_SECTION, RUNBOOK_SECTIONS

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "runbook.md"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])

VENDORS = {
    *("ConflictError", "ForbiddenByFirewall", "ForbiddenByRbac", "ObjectIsDeletedButRecoverable"),
    *("AuthorizationFailed", "AuthorizationPermissionMismatch", "LinkedAuthorizationFailed"),
    *("SecretNotFound", "ServerNameAlreadyExists", "StorageAccountAlreadyTaken", "VaultAlreadyExists"),
    *("AADSTS70021", "AADSTS700016", "AADSTS700211", "AADSTS700212", "AADSTS700213", "AADSTS90061"),
    *("AADSTS7000215", "AADSTS7000222"),
    *("08P01", "28000", "28P01", "3D000", "42501", "42710", "42939", "53300", "57014", "57P01", "57P03"),
    *("CrashLoopBackOff", "CreateContainerConfigError", "ErrImagePull", "ImagePullBackOff", "InvalidImageName"),
    *("DriverMissing", "FailedMount", "InvalidProviderClass", "InvalidVaultName", "NoAddress", "NoIdentity"),
    *("NotALoadBalancer", "ProviderClassNotFound", "ProviderMissing", "SecretKeyMissing", "SecretMissing"),
    *("FailedCreate", "FailedToCreateSecret", "Paused", "PinnedVersionDisabled", "ProgressDeadlineExceeded"),
    *("Throttled", "Unschedulable", "VaultNotFound"),
}
"""Codes of Azure, Entra ID, PostgreSQL and the kubelet, and what Keyturn calls a cause that has none of theirs."""

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KeyturnError)]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?!https?:|#\))([^)#\s]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"`([^`]+)`")
PATH = re.compile(r"`((?:flows|tasks|infra|lab|testing|tests|docs)/[a-z0-9_/.-]+)`")


def tables(page: Path) -> Iterator[list[dict[str, str]]]:
    """Yield each table of a page as its rows, column -> text."""
    for block in re.findall(r"(?:^\|.*\|\n)+", page.read_text() + "\n", re.M):
        header, _, *rows = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in block.splitlines())
        yield [dict(zip(header, row, strict=True)) for row in rows]


def rows_by(column: str) -> Iterator[dict[str, str]]:
    """Yield the rows of the runbook's tables whose first column is called so."""
    for table in tables(RUNBOOK):
        if next(iter(table[0])) == column:
            yield from table


def anchors(page: Path) -> set[str]:
    """Return the headings of a page as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_code_of_keyturn_is_in_a_table() -> None:
    named = {code for row in rows_by("code") for code in CODE.findall(row["code"])}
    assert {code.value for code in Code} <= named


def test_every_code_in_a_table_exists() -> None:
    named = {code for row in rows_by("code") for code in CODE.findall(row["code"])}
    assert named <= {code.value for code in Code} | VENDORS


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not KeyturnError], ids=lambda kind: kind.__name__)
def test_every_error_class_is_in_the_table_with_its_retryability(kind: type[KeyturnError]) -> None:
    (row,) = (row for row in rows_by("class") if row["class"] == kind.__name__)
    assert row["retryable"] == ("yes" if kind.retryable else "no")


def test_the_table_of_classes_has_no_other() -> None:
    assert {row["class"] for row in rows_by("class")} == {kind.__name__ for kind in CLASSES} - {"KeyturnError"}


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_in_the_table_with_its_state(verdict: Verdict) -> None:
    (row,) = (row for row in rows_by("verdict") if row["verdict"] == f"`{verdict}`")
    assert row["state"] == ("Completed" if verdict.is_good else "Failed")


def test_reports_link_to_sections_that_exist() -> None:
    assert {*RUNBOOK_SECTIONS, ENDINGS_SECTION} <= anchors(RUNBOOK)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    for target, heading in LINK.findall(page.read_text()):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not heading or heading in anchors(linked), f"{page.name} links to {target}#{heading}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    assert [path for path in PATH.findall(page.read_text()) if not (ROOT / path).exists()] == []
