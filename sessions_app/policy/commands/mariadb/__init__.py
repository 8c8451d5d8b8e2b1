"""The mariadb kind: privileges on tables, columns and routines of a MariaDB server."""
