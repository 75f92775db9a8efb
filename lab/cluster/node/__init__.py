"""The node: pods as processes, volumes, tokens, probes, restarts, exec and logs."""

from lab.cluster.node.node import Node

__all__ = ["Node"]
