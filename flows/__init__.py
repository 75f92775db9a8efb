"""Prefect flows: order, branching, and what a person sees. No I/O of their own."""

from tasks.reports.logs import log_own_errors_in_one_line

log_own_errors_in_one_line()
