"""Controllers: Deployments, ReplicaSets, Services, namespaces, scheduling."""

from infra.lab.cluster.controllers.manager import Controllers

__all__ = ["Controllers"]
