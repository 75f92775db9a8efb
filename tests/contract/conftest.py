"""Fixtures of the contract tests."""

from arm_world import group, world
from azure_world import azure, make_azure

__all__ = ["azure", "group", "make_azure", "world"]
