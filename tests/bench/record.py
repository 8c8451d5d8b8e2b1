"""The record: a million entries, read and verified."""

from __future__ import annotations

import time

from tests.bench.database import database
from tests.bench.report import Report
from tests.broker.audit.build import bulk_build

ENTRIES = 1_000_000


def run(report: Report) -> None:
    """Measure."""
    from django.db import connection

    from broker.audit.verify import verify

    with database():
        last = bulk_build(connection, ENTRIES, batch=5000)
        began = time.perf_counter()
        verdict = verify(connection=connection)
        took = time.perf_counter() - began
        assert (verdict.ok, verdict.entries) == (True, last), verdict.detail
    report.figure(f"record, {last:,} entries verified", took, "s", most=10)
    report.figure("the same", last / took, "entries/s")
