"""Artifacts: reporting may fail, and nothing else does."""

from collections.abc import Callable
from typing import Any

import pytest

from tasks.reports import artifacts
from tasks.reports.artifacts import Bar, report_markdown, report_table


def fail(**_: Any) -> None:
    raise RuntimeError("the API does not answer")


@pytest.mark.parametrize(
    ("maker", "report"),
    [
        ("create_table_artifact", lambda: report_table("orders-db-plan", [{"a": "b"}], "A table.")),
        ("create_markdown_artifact", lambda: report_markdown("orders-db-report", "# A page", "A page.")),
        ("create_progress_artifact", lambda: Bar("orders-db-sync", "A bar.").move(50)),
    ],
)
def test_an_artifact_that_cannot_be_made_is_logged_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, maker: str, report: Callable[[], None]
) -> None:
    monkeypatch.setattr(artifacts, maker, fail)
    report()
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith("RuntimeError: the API does not answer")
