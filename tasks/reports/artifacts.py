"""Artifacts of the current run: tables, pages and a percentage. The one place that makes them.

Both of Prefect's UIs show a table from a list of flat rows, and pictures in markdown as data URLs. A key that begins
with the credential's name gives that credential a history of its own. An artifact that cannot be made is logged and
stops nothing. https://docs.prefect.io/v3/concepts/artifacts
"""

from collections.abc import Mapping, Sequence
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from tasks.reports.logs import best_effort

NOTHING = {"": "nothing"}


def report_table(key: str, rows: Sequence[Mapping[str, str]], description: str) -> None:
    """Make a table.

    Args:
        key: the artifact's key: lower-case letters, digits and hyphens.
        rows: column -> text for each row; five or six short columns are readable.
        description: markdown above the table.
    """
    with best_effort(f"make the table {key}"):
        create_table_artifact(table=[dict(row) for row in rows] or [NOTHING], key=key, description=description)


def report_markdown(key: str, text: str, description: str) -> None:
    """Make a page.

    Args:
        key: the artifact's key: lower-case letters, digits and hyphens.
        text: markdown, below 200 kB.
        description: markdown beside it.
    """
    with best_effort(f"make the page {key}"):
        create_markdown_artifact(markdown=text, key=key, description=description)


class Bar:
    """A percentage.

    Args:
        key: the artifact's key: lower-case letters, digits and hyphens.
        description: markdown beside it.
    """

    def __init__(self, key: str, description: str) -> None:
        self._artifact: UUID | None = None
        with best_effort(f"make the bar {key}"):
            self._artifact = cast(UUID, create_progress_artifact(progress=0.0, key=key, description=description))

    def move(self, percent: float) -> None:
        """Set it to a value from 0 to 100."""
        if self._artifact:
            with best_effort("move the bar"):
                update_progress_artifact(artifact_id=self._artifact, progress=percent)
