"""Real PostgreSQL servers: for the postgres image and for Flexible Servers, with TLS in front of the latter."""
