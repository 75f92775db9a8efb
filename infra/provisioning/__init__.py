"""The core of provisioning, pure: what is wanted, what exists, the plan between them, and how it is carried out.

It speaks to Azure through `infra.provisioning.kinds`, which the adapter implements.
"""
