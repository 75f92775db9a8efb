"""The cluster: workloads and deliveries as handles, pods, Services, manifests, leases.

This package alone imports the Kubernetes client. Its errors are translated in `errors` and nowhere else.
"""
