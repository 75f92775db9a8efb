"""A local Azure and a local Kubernetes cluster, which unmodified clients reach through their environment alone.

`python -m lab` starts and ends one. `azure` answers for Azure, `cluster` for Kubernetes; `databases` runs PostgreSQL
and `sandbox` isolates processes; `control` puts it all together and `commands` is for the shell. The lab and the
product do not know each other.
"""
