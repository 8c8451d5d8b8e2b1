"""The lock that lets one transaction at a time change the catalog, and grants start only while it does not change."""

from __future__ import annotations

from django.db import connection

from sessions_app.queries.catalog.freeze import CATALOG


def lock_catalog() -> None:
    """Let one transaction at a time change the catalog. Others wait here, before they take any other lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CATALOG])
