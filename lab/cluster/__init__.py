"""The local cluster: a small API server and, as mere clients of it, controllers, node and CSI driver."""
