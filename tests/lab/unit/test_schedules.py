"""When the lab's CronJobs are due."""

from datetime import UTC, datetime

import pytest

from lab.cluster.controllers.cronjobs import is_time

MONDAY = datetime(2026, 6, 1, 4, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "is_due"),
    [
        ("* * * * *", True),
        ("30 4 * * *", True),
        ("31 4 * * *", False),
        ("*/15 * * * *", True),
        ("*/7 * * * *", False),
        ("0-29 * * * *", False),
        ("0,30 3-5 * * 1", True),
        ("30 4 * * 7", False),
        ("30 4 2 * 1", True),
        ("30 4 2 * *", False),
        ("30 4 1 6 *", True),
        ("30 4 1 7 *", False),
    ],
)
def test_a_schedule_names_minutes(schedule: str, is_due: bool) -> None:
    assert is_time(schedule, MONDAY) is is_due


def test_a_sunday_is_0_and_7() -> None:
    sunday = datetime(2026, 6, 7, 4, 30, tzinfo=UTC)
    assert is_time("30 4 * * 0", sunday)
    assert is_time("30 4 * * 7", sunday)
