"""The API server: storage, patches, discovery, Tables, authentication and streams."""

from lab.cluster.api.server import ApiServer

__all__ = ["ApiServer"]
