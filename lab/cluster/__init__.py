"""The local cluster: a small API server and, as clients of the Kubernetes API alone, controllers, node and CSI."""
