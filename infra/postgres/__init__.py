"""PostgreSQL: databases, logins and the owner role that two logins share. The only importer of psycopg.

Nothing here knows a vault, a cluster or a credential: a `Database` has an address, and a `Login` has two values.
"""
