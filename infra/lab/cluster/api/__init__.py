"""The API server: storage, patches, discovery, Tables, authentication and streams."""
