"""External Secrets Operator, as far as Key Vault needs it: at work once its custom resources are installed."""

from lab.cluster.external_secrets.operator import Operator

__all__ = ["Operator"]
