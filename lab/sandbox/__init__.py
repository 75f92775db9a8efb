"""Isolated processes, by namespaces and mounts, and the virtual machines made of them."""
