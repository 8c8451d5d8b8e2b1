"""Privileges on databases: what PostgreSQL and MariaDB share."""
