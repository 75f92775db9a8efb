"""A local Azure Resource Manager: an empty subscription that fills with what is put into it.

`app` takes requests and `routing` finds who answers; `kinds` is what all resource types share, one module a provider
says what is special; `operations` are the long-running ones; `store` keeps the resources. Clusters, machines and
servers are made real by the lab's backends, vaults and blobs by their data planes.
"""

from lab.azure.arm.arm import Arm

__all__ = ["Arm"]
