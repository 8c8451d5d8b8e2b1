"""Let acts of one person wait for each other."""

from __future__ import annotations

from django.db import connection

from accounts.models import Identity


def lock_person(*, identity: Identity) -> Identity:
    """Lock the person behind an account, for all accounts and machines of theirs, until the surrounding transaction is
    over, and return their account.

    Lock grants, requests and sessions before it.
    """
    behind = identity.owner or identity
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"person {behind.person}"])
    return behind
