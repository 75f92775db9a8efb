"""The node: pods as processes, volumes, tokens, probes, restarts, exec and logs."""
