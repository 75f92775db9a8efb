"""The cluster. The only importer of the kubernetes client; its errors are translated here and nowhere else."""
