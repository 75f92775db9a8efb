"""Waiting for an operation, under the name that the rotation's tasks import."""

from infra.provisioning.reconciling import wait_until_settled

__all__ = ["wait_until_settled"]
