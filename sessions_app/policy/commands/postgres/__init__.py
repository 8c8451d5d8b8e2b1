"""The postgres kind: privileges on a PostgreSQL server's objects, and memberships of template roles."""
