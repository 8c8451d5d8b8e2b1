"""`authorize_use` at several table sizes, compared with an object permission check of django-guardian."""

import time
from collections.abc import Callable

from tests.bench.database import database, fill_grants, fill_people
from tests.bench.report import Report, median, percentile

CALLS = 2000


def run(report: Report) -> None:
    """Measure."""
    _measure(report, 100)  # Warm-up: connections, compiled command sets and CPU caches.
    small, _ = _measure(report, 10)
    large, has_perm = _measure(report, 100_000)
    report.figure("authorize_use, 100,000 grants over 10", large / small, "x", most=1.2)
    report.figure("has_perm of django-guardian over authorize_use", has_perm / large, "x", least=10)


def _measure(report: Report, count: int) -> tuple[float, float]:
    """Return the medians of both in µs, measured alternately."""
    from accounts.models import Identity
    from broker.kernel import clock
    from sessions_app.models import Cluster, Grant
    from sessions_app.operations.sessions.authorize_use import authorize_use
    from sessions_app.operations.sessions.proofs.holder import ByHolder

    with database() as (name, _):
        fill_people(name, count)
        fill_grants(name, count, state="active", expires="now() + interval '1 hour'", first=10_000)
        holders = list(Grant.objects.values_list("holder", flat=True)[:200])
        now = clock.now()
        cluster = Cluster.objects.get(name="web")

        def use(holder: int) -> None:
            assert authorize_use(by=ByHolder(holder, "web-1", None, now))

        def ask(holder: int) -> None:
            Identity(pk=holder, is_active=True, username="x").has_perm("request_cluster", cluster)

        for holder in holders:
            use(holder)
        used, asked = [], []
        for number in range(CALLS):
            used.append(_time(use, holders[number % len(holders)]))
            asked.append(_time(ask, holders[number % len(holders)]))
    report.note(
        f"authorize_use, {count:>7,} grants: median {median(used):.0f} µs, p99 {percentile(used, 99):.0f} µs;"
        f" has_perm of django-guardian: median {median(asked):.0f} µs"
    )
    return median(used), median(asked)


def _time(call: Callable[[int], None], holder: int) -> float:
    began = time.perf_counter()
    call(holder)
    return (time.perf_counter() - began) * 1e6
