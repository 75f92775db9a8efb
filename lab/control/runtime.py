"""What processes of the lab run on: sandboxes and PostgreSQL, each found out or prepared once, when first needed."""

import asyncio
from pathlib import Path

from lab.databases.postgres import Postgres
from lab.sandbox.sandboxes import Sandboxes


class Runtime:
    """Gives sandboxes and PostgreSQL to whoever starts processes.

    Args:
        cache: folder that PostgreSQL's template is kept in; several labs may share it.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._sandboxes: asyncio.Task[Sandboxes] | None = None
        self._postgres: asyncio.Task[Postgres] | None = None

    async def sandboxes(self) -> Sandboxes:
        """The way in which this machine allows sandboxes."""
        if self._sandboxes is None:
            self._sandboxes = asyncio.create_task(Sandboxes.detect())
        return await asyncio.shield(self._sandboxes)

    async def postgres(self) -> Postgres:
        """PostgreSQL, its template made.

        Raises:
            NotFound: there is none on this machine.
        """
        if self._postgres is None:
            self._postgres = asyncio.create_task(self._prepare())
        return await asyncio.shield(self._postgres)

    async def _prepare(self) -> Postgres:
        return await Postgres.prepare(await self.sandboxes(), self._cache)

    async def stop(self) -> None:
        """Leave off what is being prepared."""
        tasks = [task for task in (self._postgres, self._sandboxes) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
