"""The postgres kind: privileges on objects of a PostgreSQL server, and memberships of template roles."""
