"""Durations as kubectl prints them.

https://github.com/kubernetes/apimachinery/blob/v0.34.4/pkg/util/duration/duration.go
"""

from datetime import datetime

from lab.cluster.api.objects import parse_time


def age(text: str | None, now: datetime) -> str:
    """How long ago a moment was, `<unknown>` without one."""
    return human_duration((now - parse_time(text)).total_seconds()) if text else "<unknown>"


def human_duration(seconds: float) -> str:
    """A duration in two or three figures: 119s, 9m59s, 179m, 7h59m, 47h, 7d23h."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    minutes, hours = whole // 60, whole // 3600
    days = hours // 24
    steps = (
        (whole < 0, "0s"),
        (whole < 120, f"{whole}s"),
        (minutes < 10, _two(minutes, "m", whole % 60, "s")),
        (minutes < 180, f"{minutes}m"),
        (hours < 8, _two(hours, "h", minutes % 60, "m")),
        (hours < 48, f"{hours}h"),
        (days < 8, _two(days, "d", hours % 24, "h")),
        (days < 730, f"{days}d"),
        (days < 2920, _two(days // 365, "y", days % 365, "d")),
    )
    return next((text for fits, text in steps if fits), f"{days // 365}y")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" + (f"{small}{small_unit}" if small else "")
