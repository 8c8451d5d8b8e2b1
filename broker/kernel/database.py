"""Connections outside Django, for LISTEN."""

from __future__ import annotations

from django.conf import settings
from psycopg.conninfo import make_conninfo

_NAMES = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
# Understood by psycopg's Connection.connect, not by libpq.
_NOT_FOR_LIBPQ = {"prepare_threshold"}


def conninfo(*, application_name: str) -> str:
    """Return the libpq connection string of the application's database. It contains the password."""
    database = settings.DATABASES["default"]
    parts = {name: database[key] for name, key in _NAMES.items() if database[key]}
    options = {name: value for name, value in database["OPTIONS"].items() if name not in _NOT_FOR_LIBPQ}
    return make_conninfo(**{**parts, **options, "application_name": application_name})
