"""The node: pods as processes, volumes, tokens, probes, restarts, exec and logs."""

from infra.lab.cluster.node.node import Node

__all__ = ["Node"]
