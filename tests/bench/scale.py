"""Whether Stint scales: the record and whether its transactions wait for each other, a grant's life cycle,
decisions over many grants, many idle gateways, many targets, and pages over many rows.
"""

import multiprocessing
import os
import time
from multiprocessing.pool import Pool

from tests.bench import decisions, fleet, life, pages, reconciling
from tests.bench.database import database
from tests.bench.report import Report, median, percentile
from tests.environment import POSTGRES

WRITERS, SECONDS = 4, 5
# What the open transaction does between its first entry and its commit.
UNDER_WAY_S = 0.05


def run(report: Report) -> None:
    """Measure."""
    with (
        database() as (name, _),
        multiprocessing.get_context("spawn").Pool(
            WRITERS + 1, _connect, [POSTGRES.url("stint_app", name)]
        ) as pool,
    ):
        pool.map(_write, [0.2] * (WRITERS + 1), chunksize=1)
        quiet, beside = _written(pool, 0), _written(pool, UNDER_WAY_S)
        report.figure(f"recorded transactions, {WRITERS} at a time", len(quiet) / SECONDS, "tx/s", least=400)
        report.note(
            f"one, among {WRITERS}: median {median(quiet):.2f} ms, p99 {percentile(quiet, 99):.2f} ms"
        )
        alone = pool.apply(_write, [1])
        report.figure("a recorded transaction alone, median", median(alone), "ms", most=1.5)
        report.figure(
            f"the median beside acts of {UNDER_WAY_S * 1000:.0f} ms over the same without",
            median(beside) / median(quiet),
            "x",
            most=1.5,
        )
    for part in (life, decisions, fleet, reconciling, pages):
        part.run(report)


def _written(pool: Pool, under_way: float) -> list[float]:
    """Return the milliseconds of each recorded transaction, while another process keeps a transaction open
    that long, or none.
    """
    beside = pool.apply_async(_write, [SECONDS, under_way]) if under_way else None
    took = pool.map(_write, [SECONDS] * WRITERS, chunksize=1)
    if beside is not None:
        beside.get()
    return [one for each in took for one in each]


def _connect(database_url: str) -> None:
    os.environ["DATABASE_URL"] = database_url
    os.environ["DJANGO_SETTINGS_MODULE"] = "broker.settings"
    import django

    django.setup()
    from broker.kernel import clock

    clock.sync()


def _write(seconds: float, under_way: float = 0) -> list[float]:
    """Record one entry after another, each in its own transaction."""
    from django.db import transaction

    from broker.audit.actor import Actor
    from broker.audit.events import Event
    from broker.audit.record import record
    from broker.kernel import clock
    from sessions_app.models import Sweeper

    took, name = [], f"bench-{os.getpid()}"
    Sweeper.objects.get_or_create(name=name, defaults={"seen_at": clock.now()})
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        with transaction.atomic():
            Sweeper.objects.filter(name=name).update(seen_at=clock.now())
            record(
                event=Event.COMMAND_ALLOWED,
                actor=Actor.system("bench"),
                object_type="sweeper",
                object_ref=name,
                data={},
                now=clock.now(),
            )
            if under_way:
                time.sleep(under_way)
        took.append((time.perf_counter() - began) * 1000)
    return took
