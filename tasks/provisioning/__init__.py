"""Tasks of a stack: its resources in Azure, its deployment to the cluster, the proofs of access, and its story."""
