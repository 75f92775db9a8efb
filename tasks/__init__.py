"""Prefect tasks: one step each, with its retry policy, run name and artifact. Thin: the work is in infra."""
