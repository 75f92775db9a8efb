"""Blob storage's data plane: `store` keeps accounts, containers and blobs, `http` answers."""
