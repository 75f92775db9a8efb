"""The Secrets Store CSI driver and its Azure provider, in both generations."""

from lab.cluster.csi.store import SecretsStore

__all__ = ["SecretsStore"]
