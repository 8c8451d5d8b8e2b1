"""Reconciliation of 5,000 targets, of which 50 hang: its duration, and the load on the worker."""

import threading
import time

from tests.bench.database import database
from tests.bench.report import Report
from tests.support.world.fakes import serving

TARGETS, HANGING = 5_000, 50
# The response time of a target, in seconds.
ANSWER_S = 0.05
# The numbers of clusters; with one, hanging targets delay the most others.
SPREAD = (100, 1)


def run(report: Report) -> None:
    """Measure with simulated targets that only wait."""
    for clusters in SPREAD:
        with database() as (_, _), serving(_Far, kind="ssh"):
            _fill(clusters)
            for what in ("the first time", "then"):
                _tell(report, clusters, what)


def _tell(report: Report, clusters: int, what: str) -> None:
    from broker.kernel import clock
    from sessions_app.models import Observation
    from sessions_app.operations.targets.reconcile_all import reconcile_all

    began, used = time.monotonic(), time.process_time()
    start, _Far.threads = clock.now(), 0
    reconcile_all(now=clock.now)
    took, used = time.monotonic() - began, time.process_time() - used
    answered = Observation.objects.filter(error="", seen_at__gte=start).order_by("-seen_at")
    assert answered.count() == TARGETS - HANGING
    assert Observation.objects.exclude(error="").count() == HANGING
    last = answered.values_list("seen_at", flat=True).first()
    assert last is not None
    where = f"{TARGETS:,} targets in {clusters} cluster{'s' if clusters > 1 else ''}, {HANGING} hang, {what}"
    report.figure(where, took, "s", most=60)
    report.note(
        f"the last that answered was seen after {(last - start).total_seconds():.1f} s; CPU {used:.1f} s"
    )
    report.figure("threads at most", _Far.threads, most=130)


class _Far:
    """Targets that respond after a delay, and some that never respond."""

    kind = "ssh"
    threads = 0

    def observe(self, place) -> list[object]:
        from sessions_app.connectors.base import CALL_SECONDS, ConnectorError

        _Far.threads = max(
            _Far.threads, sum(one.name.startswith("reconcile") for one in threading.enumerate())
        )
        if place.target.name.startswith("hangs"):
            time.sleep(CALL_SECONDS)
            raise ConnectorError("It did not respond.")
        time.sleep(ANSWER_S)
        return []


def _fill(clusters: int) -> None:
    from sessions_app.models import Cluster, Target

    Target.objects.all().update(removed_at="2026-01-01T00:00Z")
    first = Cluster.objects.get(name="web")
    made = [first]
    for number in range(1, clusters):
        first.pk, first.name = None, f"c-{number}"
        first.save(force_insert=True)
        made.append(Cluster.objects.get(name=first.name))
    web, key = Cluster.objects.get(name="web"), Target.objects.filter(cluster__name="web")[0].host_key
    made[0] = web
    # Not a multiple of the number of clusters, so that hanging targets are spread over many.
    every = TARGETS // HANGING + 1
    Target.objects.bulk_create(
        Target(
            cluster=made[number % clusters],
            name=f"{'hangs' if number % every == 0 else 't'}-{number}",
            address="127.0.0.1",
            port=1,
            account="root",
            host_key=key,
        )
        for number in range(TARGETS)
    )
