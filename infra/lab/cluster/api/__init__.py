"""The API server: storage, patches, discovery, Tables, authentication and streams."""

from infra.lab.cluster.api.server import ApiServer

__all__ = ["ApiServer"]
