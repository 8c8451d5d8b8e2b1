"""The name under which this process connects to the database, and its connections outside Django."""

from __future__ import annotations

import os
import socket

from django.conf import settings
from psycopg.conninfo import make_conninfo

_NAMES = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
# An option of psycopg's Connection.connect, not of libpq.
_NOT_FOR_LIBPQ = {"prepare_threshold"}


_LISTENS = " listen"
# PostgreSQL truncates names to 63 bytes.
_LONGEST = 63 - len(_LISTENS)


def name_process(kind: str, name: str = "") -> None:
    """Set the ``application_name`` of this process's connections, such as ``stint web 4711@host``.

    Call it before the first connection. By default, the name has the process ID and the host.
    """
    named = f"stint {kind} {name or f'{os.getpid()}@{socket.gethostname()}'}"
    settings.DATABASES["default"]["OPTIONS"]["application_name"] = named.encode()[:_LONGEST].decode(
        errors="ignore"
    )


def conninfo(*, listens: bool = True) -> str:
    """Return the libpq connection string of the application's database, which contains the password.
    ``listens`` means that the connection is for LISTEN, and named so.
    """
    database = settings.DATABASES["default"]
    parts = {name: database[key] for name, key in _NAMES.items() if database[key]}
    options = {name: value for name, value in database["OPTIONS"].items() if name not in _NOT_FOR_LIBPQ}
    name = f"{options['application_name']}{_LISTENS if listens else ''}"
    return make_conninfo(**{**parts, **options, "application_name": name})
