"""Fixtures of the tests of what the product asks Azure: a subscription of the lab alone, without clusters."""

from arm_world import fresh, world
from azure_world import azure, make_azure
from lab_coverage import recorder

__all__ = ["azure", "fresh", "make_azure", "recorder", "world"]
