"""Rules about values: closed lists, limits, and how fields must fit each other. Each resource kind has a table of them.

    SKU = one_of("sku.name", ("Standard_LRS",), "InvalidValuesForRequestParameters", "... are invalid: sku.")
    check((SKU,), body)  # raises ArmError, or returns None

A value that is absent or null breaks no rule unless the rule says that it is required.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.azure.arm.errors import ArmError

EACH = "[]"


@dataclass(frozen=True)
class Rule:
    """What a value must be, and the error that others get.

    Args:
        path: where the value is: names with dots between them; `[]` after a name means each item of a list; the empty
            path is the whole body.
        accepts: whether a value is fine.
        code: the error's code.
        message: the error's text; `{value}` is replaced. Rules about secrets leave it out.
        target: the property that the error names.
        status: the error's status.
        is_required: whether an absent value breaks the rule.
    """

    path: str
    accepts: Callable[[Any], bool]
    code: str
    message: str
    target: str = ""
    status: int = 400
    is_required: bool = False

    def check(self, body: Mapping[str, Any]) -> None:
        """Raise unless all values at the path are fine."""
        for value in _values(body, self.path):
            if self.is_required if value is None else not self.accepts(value):
                raise ArmError(self.status, self.code, self.message.replace("{value}", str(value)), self.target)


def one_of(path: str, allowed: Collection[str], code: str, message: str, **more: Any) -> Rule:
    """A closed list, compared without case as Azure's providers do; `{allowed}` in the message is replaced."""
    known = {name.lower() for name in allowed}
    text = message.replace("{allowed}", ", ".join(allowed))
    return Rule(path, lambda value: isinstance(value, str) and value.lower() in known, code, text, **more)


def between(path: str, low: int, high: int, code: str, message: str, **more: Any) -> Rule:
    """A whole number with limits."""
    return Rule(path, lambda value: type(value) is int and low <= value <= high, code, message, **more)


def matching(path: str, pattern: str, code: str, message: str, **more: Any) -> Rule:
    """A text of a form."""
    found = re.compile(pattern, re.ASCII)
    return Rule(path, lambda value: isinstance(value, str) and bool(found.fullmatch(value)), code, message, **more)


def holding(test: Callable[[Mapping[str, Any]], bool], code: str, message: str, **more: Any) -> Rule:
    """A rule between fields: a test of the whole body."""
    return Rule("", test, code, message, **more)


def check(rules: Iterable[Rule], body: Mapping[str, Any]) -> None:
    """Raise an `ArmError` for the first rule that a body breaks."""
    for rule in rules:
        rule.check(body)


def _values(body: Any, path: str) -> Iterator[Any]:
    if not path:
        yield body
        return
    name, _, rest = path.partition(".")
    found = body.get(name.removesuffix(EACH)) if isinstance(body, Mapping) else None
    if not name.endswith(EACH):
        yield from _values(found, rest)
    elif isinstance(found, list):
        for item in found:
            yield from _values(item, rest)
