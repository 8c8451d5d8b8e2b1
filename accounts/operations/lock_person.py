"""Serialize the actions of one person."""

from __future__ import annotations

from django.db import connection

from accounts.models import Identity


def lock_person(*, identity: Identity) -> Identity:
    """Lock the person behind an account, with all their accounts and machines, until the surrounding
    transaction ends.

    Return the person's account. Callers that also lock grants, requests or sessions must lock those first.
    """
    behind = identity.owner or identity
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"person {behind.person}"])
    return behind
