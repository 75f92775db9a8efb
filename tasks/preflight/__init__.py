"""The preflight: before anything is staged, everything that the plan will need is tried without effect.

A check is a function that yields what it finds; its module is imported below, which registers it.
"""

from tasks.preflight import discovery, roles, vault
from tasks.preflight.registry import Question, check, run_preflight

__all__ = ["Question", "check", "discovery", "roles", "run_preflight", "vault"]
