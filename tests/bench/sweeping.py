"""The sweep: throughput with a short and a long history, and the cost of an idle sweep."""

import contextlib
import time

from tests.bench.database import database, fill_grants, owner, use
from tests.bench.report import Report, median, percentile

DUE, ROUNDS = 10_000, 5


def run(report: Report) -> None:
    """Measure in rounds, with a short and a long history."""
    with contextlib.ExitStack() as stack:
        histories = {size: stack.enter_context(_history(size)) for size in (10_000, 1_000_000)}
        rates: dict[int, list[float]] = {size: [] for size in histories}
        for number in range(1, ROUNDS + 1):
            for size, name in histories.items():
                rates[size].append(_round(name, number))
        _idle(report, histories[1_000_000])
    for size, found in rates.items():
        report.note(f"over {size:>9,} ended: {', '.join(f'{rate:,.0f}' for rate in found)} grants/s")
    few, many = median(rates[10_000]), median(rates[1_000_000])
    report.figure("sweep, 10,000 due over 1,000,000 ended", many, "grants/s", least=20_000)
    report.figure("the same, rate over that with 10,000 ended", many / few, "x", least=0.9)


@contextlib.contextmanager
def _history(size: int):
    with database() as (name, _):
        fill_grants(name, size, state="ended", expires="now() - interval '1 hour'", first=10_000)
        yield name


def _round(name: str, number: int) -> float:
    from broker.kernel import clock
    from sessions_app.operations.sweep.sweep import sweep

    fill_grants(name, DUE, state="active", expires="now() + interval '1 hour'", first=10_000_000 * number)
    _set(name, "expires_at = now() WHERE state = 'active'")
    use(name)
    clock.sync()
    began = time.perf_counter()
    done = sweep(now=clock.now, name="bench")
    took = time.perf_counter() - began
    assert done.ended == DUE
    _set(name, "state = 'ended', ended_at = now() WHERE state = 'revoking'")
    return DUE / took


def _idle(report: Report, name: str) -> None:
    from broker.kernel import clock
    from sessions_app.operations.sweep.sweep import sweep

    use(name)
    looks = []
    for _ in range(500):
        began = time.perf_counter()
        sweep(now=clock.now, name="bench")
        looks.append((time.perf_counter() - began) * 1000)
    report.figure("idle sweep over 1,000,000 ended, median", median(looks), "ms", most=1.0)
    report.figure("the same, p99", percentile(looks, 99), "ms")


def _set(name: str, change: str) -> None:
    """Change grants without the database guards, which only a bench may do."""
    owner(
        name,
        "ALTER TABLE sessions_app_grant DISABLE TRIGGER USER",
        f"UPDATE sessions_app_grant SET {change}",
        "ALTER TABLE sessions_app_grant ENABLE TRIGGER USER",
        "VACUUM ANALYZE sessions_app_grant",
    )
