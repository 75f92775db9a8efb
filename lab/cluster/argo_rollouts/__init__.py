"""The controller of Argo Rollouts, canaries alone: at work once its custom resource is installed."""

from lab.cluster.argo_rollouts.controller import Rollouts

__all__ = ["Rollouts"]
