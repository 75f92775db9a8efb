"""Fixtures of the contract tests."""

from arm_world import fresh, group, shared, world
from azure_world import azure, make_azure
from kubernetes_world import kubectl, kubernetes, pytest_runtest_makereport, space, widgets
from lab_coverage import pytest_addoption, recorded, recorder

__all__ = [
    "azure",
    "fresh",
    "group",
    "kubectl",
    "kubernetes",
    "make_azure",
    "pytest_addoption",
    "pytest_runtest_makereport",
    "recorded",
    "recorder",
    "shared",
    "space",
    "widgets",
    "world",
]
