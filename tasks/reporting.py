"""Artifacts: what people would rather see than read. The one place that makes them.

Both of Prefect's UIs show a table from a list of flat rows, and pictures in markdown as data URLs.
https://docs.prefect.io/v3/develop/artifacts
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

NOTHING = {"": "nothing"}


def report_table(key: str, rows: Sequence[Mapping[str, str]], description: str) -> None:
    """Make a table of the current run.

    Args:
        key: the artifact's key: lower-case letters, digits and hyphens.
        rows: one mapping of column to text a row; five or six short columns read well.
        description: markdown above the table.
    """
    create_table_artifact(table=[dict(row) for row in rows] or [NOTHING], key=key, description=description)


def report_markdown(key: str, text: str, description: str) -> None:
    """Make a page of the current run.

    Args:
        key: the artifact's key: lower-case letters, digits and hyphens.
        text: markdown, below 200 kB.
        description: markdown beside it.
    """
    create_markdown_artifact(markdown=text, key=key, description=description)


class Bar:
    """A percentage of the current run, moved while it goes on.

    Args:
        key: the artifact's key: lower-case letters, digits and hyphens.
        description: markdown beside it.
    """

    def __init__(self, key: str, description: str) -> None:
        made = create_progress_artifact(progress=0.0, key=key, description=description)
        self._artifact = cast(UUID, made)

    def move(self, percent: float) -> None:
        """Set it to a value from 0 to 100."""
        update_progress_artifact(artifact_id=self._artifact, progress=percent)
