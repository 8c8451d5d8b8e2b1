"""Private PostgreSQL and Valkey servers for the default setup: children of the launcher, without TCP.

This package does not import Django, so that launchers and tests can use it before settings exist.
"""
