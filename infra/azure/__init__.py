"""Azure, one module a service. The only importer of azure.*; vendor errors are translated here and nowhere else."""
