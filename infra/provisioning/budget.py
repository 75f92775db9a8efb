"""How a budget of time is spent on trying again. Pure."""

FIRST_SECONDS, LONGEST_SECONDS, MOST_RETRIES = 1.0, 30.0, 50
"""Prefect takes at most 50 delays for a task."""


def make_delays(budget_seconds: float) -> list[float]:
    """Return delays between tries that double up to a bound and together make the budget.

    Args:
        budget_seconds: the whole time to wait, at least one second.
    """
    longest = max(LONGEST_SECONDS, budget_seconds / (MOST_RETRIES - 10))
    delays: list[float] = []
    delay, left = FIRST_SECONDS, budget_seconds
    while left > 0:
        delays.append(min(delay, left))
        left -= delay
        delay = min(delay * 2, longest)
    return delays
