"""Controllers: Deployments, ReplicaSets, Services, namespaces, scheduling."""

from lab.cluster.controllers.manager import Controllers

__all__ = ["Controllers"]
