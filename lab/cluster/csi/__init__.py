"""The Secrets Store CSI driver and its Azure provider, in the generations up to 1.5 and from 1.6 on."""

from lab.cluster.csi.store import SecretsStore

__all__ = ["SecretsStore"]
