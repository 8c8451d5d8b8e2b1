"""The catalogue is changed by one transaction at a time, and grants start only while it stands still."""

from __future__ import annotations

from django.db import connection

from sessions_app.queries.catalogue import CATALOGUE


def lock_catalogue() -> None:
    """Let one transaction at a time change the catalogue: others wait here, before they hold anything else."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CATALOGUE])
