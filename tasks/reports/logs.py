"""The log of a run: its logger, reporting that may fail, and our own errors in one line.

Prefect's engine logs a traceback wherever an exception passes it: in each task, in each flow, and once more where a
deployed run ends. An error that a person is meant to read needs none, so its line is its text. Any other exception may
have values in its text, which the engine would log and keep as the run's state: it is logged by its type and its
frames, once, and goes on as one of ours.
"""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

from infra.errors import KeyturnError, as_own_error
from tasks.reports.settings import settings_changed

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


@contextmanager
def best_effort(what: str, *, is_patient: bool = False) -> Iterator[None]:
    """Log what fails in a block that only reports, and go on.

    Prefect's client asks an API that is away again for more than a minute. Between two writes of a rotation no table is
    worth that: clients may be without their login meanwhile.

    Args:
        what: what the block does, as the end of a sentence.
        is_patient: whether an API that is away is asked again; where nothing waits for the report.
    """
    try:
        with nullcontext() if is_patient else settings_changed(client={"max_retries": 0}):
            yield
    except Exception as error:
        run_logger().warning("cannot %s: %s: %s", what, type(error).__name__, error)


def run_logger() -> Logger:
    """Return the logger of the current run; outside of runs, Keyturn's own."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("keyturn")


@contextmanager
def own_errors_alone(name: str) -> Iterator[None]:
    """Let only errors of Keyturn's leave a block: of any other exception its type and where it was raised are logged.

    Args:
        name: what failed.
    """
    try:
        yield
    except KeyturnError:
        raise
    except Exception as exception:
        error, frames = as_own_error(exception, name), traceback.format_tb(exception.__traceback__)
        run_logger().error("%s: %s\nTraceback:\n%s", error.what, error.seen, "".join(frames))
        raise error from None
