"""Fill a log with many plausible entries, for tests and measurements."""

import datetime as dt
import hashlib
import json

from django.db.backends.base.base import BaseDatabaseWrapper

AT = dt.datetime(2026, 11, 25, 9, 30, 0, 123456, tzinfo=dt.UTC)


def bulk_build(
    connection: BaseDatabaseWrapper,
    count: int,
    *,
    log: str = "main",
    batch: int = 1000,
    first: int = 1,
    at: dt.datetime = AT,
) -> int:
    """Append ``count`` entries in batches, one statement each, and return the number of the last."""
    last = 0
    for start in range(first, first + count, batch):
        numbers = range(start, min(start + batch, first + count))
        datas = [json.dumps({"grant_id": n, "reason": "EXPIRED", "holder": "alice"}) for n in numbers]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT audit_append_many(%s, %s, 'grant.ended', 'system:sweep', NULL, 'grant', %s,"
                " %s::jsonb[])",
                [log, at, [f"GR-{n:04X}" for n in numbers], datas],
            )
            (last,) = cursor.fetchone()
    return last


def rechain(tamper, first: int, last: int) -> None:
    """Rewrite the main log from an entry to another, with every hash and the head, as who owns the database
    can.
    """
    from broker.audit.models import AuditEntry

    rows = list(AuditEntry.objects.filter(log="main", seq__gte=first, seq__lte=last).order_by("seq"))
    prev = bytes(rows[0].prev_hash)
    for row in rows:
        body = row.body.replace("alice", "nobody")
        text = b"stint-audit-entry-1\n" + prev + row.seq.to_bytes(8, "big") + body.encode()
        change = "UPDATE audit_entry SET body = %s, prev_hash = %s, hash = %s WHERE log = 'main' AND seq = %s"
        tamper(change, body, prev, hashlib.sha256(text).digest(), row.seq)
        prev = hashlib.sha256(text).digest()
    if last == AuditEntry.objects.filter(log="main").latest("seq").seq:
        tamper("UPDATE audit_head SET hash = %s WHERE log = 'main' AND seq = %s", prev, last)
