"""Private PostgreSQL and Valkey servers for the default set-up: children of the launcher, no TCP.

Nothing here imports Django, so that launchers and tests use it before settings exist.
"""
