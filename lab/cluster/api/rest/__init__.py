"""What happens to an object between a request and the storage: create, read, update, delete."""
