"""Prefect flows: order, branching, and what a person sees. No I/O of their own."""

import gc

# What the imports make stays: to look through all of it for garbage again and again takes a quarter of their time.
gc.set_threshold(50_000, 20, 100)

from tasks.reports.logs import log_own_errors_in_one_line  # noqa: E402

log_own_errors_in_one_line()
