"""Former names of what `pods` has; to be deleted."""

from infra.kubernetes.pods import find_differing_files as differing_files

__all__ = ["differing_files"]
