"""Long-running operations: real work with an id that can be asked for its status, also by another client later.

An operation is in progress until its work is done and a least time has passed. A client is told to ask again after
milliseconds (`x-ms-retry-after-ms`, which azure-core reads when there is no Retry-After; that one is in seconds).
https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.azure.arm.errors import ArmError, detail
from lab.azure.errors import AzureError

logger = logging.getLogger(__name__)

POLL_MILLISECONDS = (50, 200)
"""A client is never told to come back sooner or later than this."""


@dataclass(frozen=True)
class Reply:
    """An answer: status, JSON body (None for an empty one), headers."""

    status: int
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Operation:
    """One operation.

    Args:
        id: a GUID.
        url: where its status is asked, without a query.
        reply: makes the answer of the Location URL once it has succeeded.
        end: is told how it ended, just before `done` is set.
        started_at: when it began.
        caller_id: the object id of whoever began it, who may always follow it.
        output: what it leaves behind beside a resource; filled by the work.
        done: set when it has ended.
    """

    id: str
    url: str
    reply: Callable[[], Reply]
    end: Callable[[AzureError | None], None]
    started_at: datetime
    caller_id: str = ""
    output: dict[str, Any] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    ended_at: datetime | None = None
    error: AzureError | None = None

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self.done.is_set()

    @property
    def status(self) -> str:
        """InProgress, Succeeded or Failed."""
        if not self.is_done:
            return "InProgress"
        return "Failed" if self.error else "Succeeded"

    def describe(self) -> dict[str, Any]:
        """The body of the Azure-AsyncOperation URL."""
        body: dict[str, Any] = {"id": self.url, "name": self.id, "status": self.status}
        body["startTime"] = self.started_at.isoformat()
        if self.ended_at:
            body |= {"endTime": self.ended_at.isoformat(), "percentComplete": 100.0}
        if self.error:
            body["error"] = detail(self.error)
        elif self.is_done and self.output:
            body["properties"] = {"output": self.output}
        return body


class Operations:
    """All operations of a subscription.

    Args:
        least_seconds: how long each takes at least.
        now: the clock.
    """

    def __init__(self, least_seconds: float, now: Callable[[], datetime]) -> None:
        self._least_seconds, self._now = least_seconds, now
        self._operations: dict[str, Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def retry_header(self) -> dict[str, str]:
        """The header that tells when to ask again."""
        low, high = POLL_MILLISECONDS
        return {"x-ms-retry-after-ms": str(max(low, min(high, round(self._least_seconds * 500))))}

    def find(self, operation_id: str) -> Operation | None:
        """The operation with this id, or None."""
        return self._operations.get(operation_id.lower())

    def start(
        self,
        work: Coroutine[Any, Any, None],
        url: str,
        reply: Callable[[], Reply],
        end: Callable[[AzureError | None], None],
        after: Operation | None = None,
        output: dict[str, Any] | None = None,
        caller_id: str = "",
    ) -> Operation:
        """Begin an operation.

        Args:
            work: what is done; an `AzureError` out of it becomes the operation's error.
            url: its URL up to the id, which is appended.
            reply: makes the answer of the Location URL.
            end: called when it has ended, with its error.
            after: an operation that is waited for first.
            output: what the work fills.
            caller_id: the object id of whoever begins it.
        """
        operation_id = str(uuid.uuid4())
        operation = Operation(
            operation_id, f"{url}/{operation_id}", reply, end, self._now(), caller_id, {} if output is None else output
        )
        self._operations[operation_id] = operation
        task = asyncio.create_task(self._run(operation, work, after), name=f"operation {operation_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return operation

    async def stop(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, operation: Operation, work: Coroutine[Any, Any, None], after: Operation | None) -> None:
        least = asyncio.create_task(asyncio.sleep(self._least_seconds))
        try:
            if after is not None:
                await after.done.wait()
            await work
        except AzureError as error:
            operation.error = error
        except asyncio.CancelledError:
            operation.error = ArmError(409, "OperationPreempted", "The lab was stopped while this was under way.")
            raise
        except Exception as error:
            logger.exception("operation %s failed", operation.url)
            operation.error = ArmError(500, "InternalExecutionError", f"An internal execution error occurred: {error}")
        finally:
            work.close()
            await least
            operation.ended_at = self._now()
            operation.end(operation.error)
            operation.done.set()
