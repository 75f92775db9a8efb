"""Prefect flows: order, branching, and what a person sees. No I/O of their own."""

import gc
import sys

if sys.argv[:1] == ["-m"]:  # a command, whose module is only being located
    gc.disable()  # `run_from_shell` enables it: until then nothing is made but imports, which stay

from tasks.reports.own_errors import log_own_errors_in_one_line

log_own_errors_in_one_line()
