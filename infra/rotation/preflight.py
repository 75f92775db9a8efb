"""Findings of the preflight: what would keep a rotation from ending well, found before anything is staged. Pure.

Everything that a plan will need is tried without effect while nothing is at stake. A blocking finding refuses the
rotation, a warning is shown beside the plan; a dry run lists them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from infra.errors import Code, KeyturnError, Refused

E = TypeVar("E", bound=KeyturnError)


@dataclass(frozen=True)
class Finding:
    """Something that a person should know, or fix, before the rotation.

    Args:
        error: what was found, on which name, what was seen, and how to fix it.
        is_blocking: whether the rotation must not start.
    """

    error: KeyturnError
    is_blocking: bool = True

    def __str__(self) -> str:
        return f"{'blocking' if self.is_blocking else 'warning'}: {self.error}"


def refuse(findings: Sequence[Finding], name: str) -> Refused | None:
    """Return what refuses a rotation: the one finding that blocks it, or all of them as causes.

    Args:
        findings: what was found.
        name: the credential's name.
    """
    errors = [finding.error for finding in findings if finding.is_blocking]
    if len(errors) == 1:
        return _copy(Refused, errors[0], errors[0].cause)
    cause = None
    for error in reversed(errors):
        cause = _copy(type(error), error, cause)
    return Refused(Code.PREFLIGHT, name=name, seen=f"{len(errors)} findings", cause=cause) if cause else None


def _copy(kind: type[E], error: KeyturnError, cause: KeyturnError | None) -> E:
    return kind(error.what, name=error.name, seen=error.seen, fix=error.fix, code=error.code, cause=cause)
