"""Controllers: Deployments, ReplicaSets, Services, namespaces, scheduling, garbage collection."""

from infra.lab.cluster.controllers.manager import Controllers

__all__ = ["Controllers"]
