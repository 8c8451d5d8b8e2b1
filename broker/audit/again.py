"""Verify the entries that were appended since the last verification."""

from __future__ import annotations

from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper

from broker.audit.actor import Actor
from broker.audit.models import MAIN_LOG, AuditHead
from broker.audit.note import note_verification
from broker.audit.queries import latest_verification
from broker.audit.verify import Verdict, verify

MOST = 100_000


def verify_onwards(
    *, connection: BaseDatabaseWrapper, actor: Actor, now: datetime, most: int | None = MOST
) -> Verdict | None:
    """Verify the entries of the main log that follow the last verified one, then store and record the result.

    If the last verified entry has changed since then, the result is a break. Returns None without doing
    anything if there was no verification yet, if the last one found a break, or if more than ``most`` entries
    must be read. The worker must then verify the whole log.
    """
    last = latest_verification()
    head = AuditHead.objects.filter(log=MAIN_LOG).values_list("seq", flat=True).first()
    if last is None or not last.ok or not last.entries or last.head_hash is None:
        return None
    if most is not None and head is not None and head - last.entries > most:
        return None
    first = last.entries + 1
    verdict = verify(connection=connection, from_seq=first, anchor=bytes(last.head_hash))
    note_verification(verdict=verdict, actor=actor, now=now, first_seq=first)
    return verdict
