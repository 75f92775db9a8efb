"""The preflight: before anything is staged, everything that the plan will need is tried without effect.

A check is a function that yields what it finds; its module is imported below, which registers it.
"""

from tasks.preflight import consumers, database, discovery, rights, roles, vault
from tasks.preflight.registry import Question, check, make_checks, observe_and_check
from tasks.preflight.rights import denials_explained

__all__ = [
    "Question",
    "check",
    "consumers",
    "database",
    "denials_explained",
    "discovery",
    "make_checks",
    "observe_and_check",
    "rights",
    "roles",
    "vault",
]
