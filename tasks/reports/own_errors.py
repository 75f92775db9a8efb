"""Our own errors in one line of Prefect's logs, where its engine would write a traceback."""

import logging

from infra.errors import KeyturnError

LOGGERS = ("prefect.task_runs", "prefect.flow_runs", "prefect.engine")
REPEATS = ("Engine execution exited", "Execution of flow run")
"""How the engine's lines begin that only say again what the run's ending has said."""


class OwnErrors(logging.Filter):
    """Replaces the traceback of an error that a person is meant to read by its text."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide whether a record is logged, and change it if it carries one of these errors."""
        from prefect.exceptions import ParameterTypeError  # whoever logs here has it; `flows` itself needs no Prefect

        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, KeyturnError | ParameterTypeError):
            return True
        record.msg, record.args = record.getMessage(), ()
        if record.msg.startswith(REPEATS):
            return False
        record.msg, record.exc_info = str(error), None
        return True


_OWN_ERRORS = OwnErrors()


def log_own_errors_in_one_line() -> None:
    """Install the filter on the loggers of runs; once is enough, again does no harm."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_OWN_ERRORS)
