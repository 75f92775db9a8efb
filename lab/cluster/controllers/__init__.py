"""Controllers: Deployments, ReplicaSets, Services and their endpoints, namespaces, scheduling and volume claims."""

from lab.cluster.controllers.manager import Controllers

__all__ = ["Controllers"]
