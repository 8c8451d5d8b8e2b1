"""The sweep: throughput over history, lateness, and the cost of an idle look."""

from __future__ import annotations

import time

from tests.bench.database import database, fill_grants, owner
from tests.bench.report import Report, median, percentile

DUE = 10_000


def run(report: Report) -> None:
    """Measure."""
    few = _throughput(report, 10_000)
    many = _throughput(report, 1_000_000)
    report.figure("sweep, 10,000 due over 1,000,000 ended", many, "grants/s", least=20_000)
    report.figure("the same, rate over that with 10,000 ended", many / few, "x", least=0.9)


def _throughput(report: Report, history: int) -> float:
    from django.db import connection

    from broker.kernel import clock
    from sessions_app.operations.sweep import sweep

    rates = []
    with database() as (name, _):
        fill_grants(name, history, state="ended", expires="now() - interval '1 hour'", first=10_000)
        sweep(now=clock.now, name="bench")
        looks = []
        for _ in range(200):
            began = time.perf_counter()
            sweep(now=clock.now, name="bench")
            looks.append((time.perf_counter() - began) * 1000)
        for number in range(3):
            first = 10_000_000 * (number + 1)
            fill_grants(name, DUE, state="active", expires="now() + interval '1 hour'", first=first)
            _make_due(name)
            began = time.perf_counter()
            report_ = sweep(now=clock.now, name="bench")
            rates.append(DUE / (time.perf_counter() - began))
            assert report_.ended == DUE
            _forget(name)
        connection.close()
    report.note(f"over {history:>9,} ended: {', '.join(f'{rate:,.0f}' for rate in rates)} grants/s")
    if history > DUE:
        report.figure("idle sweep, median", median(looks), "ms", most=1.0)
        report.figure("idle sweep, p99", percentile(looks, 99), "ms")
    return median(rates)


def _make_due(name: str) -> None:
    owner(
        name,
        "ALTER TABLE sessions_app_grant DISABLE TRIGGER USER",
        "UPDATE sessions_app_grant SET expires_at = now() WHERE state = 'active'",
        "ALTER TABLE sessions_app_grant ENABLE TRIGGER USER",
        "VACUUM ANALYZE sessions_app_grant",
    )


def _forget(name: str) -> None:
    owner(
        name,
        "ALTER TABLE sessions_app_grant DISABLE TRIGGER USER",
        "UPDATE sessions_app_grant SET state = 'ended', ended_at = now() WHERE state = 'revoking'",
        "ALTER TABLE sessions_app_grant ENABLE TRIGGER USER",
        "VACUUM ANALYZE sessions_app_grant",
    )
