"""Prefect flows: order, branching, and what a person sees. No I/O of their own."""
