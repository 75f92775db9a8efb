"""Controllers: Deployments, ReplicaSets, Services, service accounts, garbage collection, admission."""
