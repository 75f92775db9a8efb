"""The retry policy, under the name that the rotation's tasks import."""

from tasks.retries import is_retryable, step

__all__ = ["is_retryable", "step"]
