"""PostgreSQL: fresh logins and login roles. The only importer of psycopg."""
