"""Sharing one `Azure` by the context of a block, for tasks that do not hand it over yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from infra.azure.client import Azure
from infra.settings import Settings

_shared: ContextVar[Azure | None] = ContextVar("shared client", default=None)


@contextmanager
def signed_in(settings: Settings) -> Iterator[Azure]:
    """Open Azure for a block of calls; those within share it."""
    if (shared := _shared.get()) is not None:
        yield shared
        return
    with Azure(settings) as azure:
        mark = _shared.set(azure)
        try:
            yield azure
        finally:
            _shared.reset(mark)
