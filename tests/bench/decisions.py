"""`authorize_use` over table sizes, and against an object permission of django-guardian."""

from __future__ import annotations

import time

from tests.bench.database import database, fill_grants, fill_people
from tests.bench.report import Report, median, percentile

ROUNDS, CALLS = 5, 400


def run(report: Report) -> None:
    """Measure."""
    small, has_perm = _measure(report, 100, guardian=True)
    large, _ = _measure(report, 100_000)
    report.figure("authorize_use, 100,000 grants over 100", large / small, "x", most=1.2)
    report.figure("has_perm of django-guardian over authorize_use", has_perm / large, "x", least=10)


def _measure(report: Report, count: int, *, guardian: bool = False) -> tuple[float, float]:
    from accounts.models import Identity
    from broker.kernel import clock
    from sessions_app.models import Cluster, Grant
    from sessions_app.operations.authorize_use import authorize_use

    with database() as (name, _):
        fill_people(name, count)
        fill_grants(name, count, state="active", expires="now() + interval '1 hour'", first=10_000)
        holders = list(Grant.objects.values_list("holder", flat=True)[:200])
        now = clock.now()

        def use(holder: int) -> None:
            assert authorize_use(holder_id=holder, target_name="web-1", grant_ref=None, now=now)

        for holder in holders:
            use(holder)
        took = _times(use, holders)
        report.note(
            f"authorize_use, {count:>7,} grants: median {median(took):.0f} µs, p99 {percentile(took, 99):.0f} µs"
        )
        if not guardian:
            return median(took), 0.0
        cluster = Cluster.objects.get(name="web")

        def ask(holder: int) -> None:
            person = Identity(pk=holder, is_active=True, username="x")
            person.has_perm("request_cluster", cluster)

        asked = _times(ask, holders)
        report.note(f"has_perm of django-guardian: median {median(asked):.0f} µs")
        return median(took), median(asked)


def _times(call, holders: list[int]) -> list[float]:
    took = []
    for number in range(ROUNDS * CALLS):
        began = time.perf_counter()
        call(holders[number % len(holders)])
        took.append((time.perf_counter() - began) * 1e6)
    return took
