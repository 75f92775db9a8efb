"""Fixtures of the contract tests."""

from arm_world import fresh, group, shared, world
from azure_world import azure, make_azure
from kubernetes_world import kubectl, kubernetes, pytest_runtest_makereport, space, widgets

__all__ = [
    "azure",
    "fresh",
    "group",
    "kubectl",
    "kubernetes",
    "make_azure",
    "pytest_runtest_makereport",
    "shared",
    "space",
    "widgets",
    "world",
]
