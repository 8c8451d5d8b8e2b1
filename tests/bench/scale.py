"""How much the record and the life of a grant take of two cores, and whether acts wait for each other."""

import itertools
import multiprocessing
import os
import time
from multiprocessing.pool import Pool

from tests.bench.database import database
from tests.bench.report import Report, median, percentile
from tests.environment import POSTGRES

WRITERS, SECONDS = 4, 5
# What the act under way does between its first entry and its commit.
UNDER_WAY_S = 0.05
LIVES = 40


def run(report: Report) -> None:
    """Measure."""
    with database() as (name, _), multiprocessing.get_context("spawn").Pool(
        WRITERS + 1, _connect, [POSTGRES.url("stint_app", name)]
    ) as pool:  # fmt: skip
        pool.map(_write, [0.2] * (WRITERS + 1), chunksize=1)
        quiet, beside = _written(pool, 0), _written(pool, UNDER_WAY_S)
        report.figure(f"recorded transactions, {WRITERS} at a time", len(quiet) / SECONDS, "tx/s", least=400)
        report.note(f"one: median {median(quiet):.2f} ms, p99 {percentile(quiet, 99):.2f} ms")
        report.figure(
            f"the median beside acts of {UNDER_WAY_S * 1000:.0f} ms over the same without",
            median(beside) / median(quiet), "x", most=1.5,
        )  # fmt: skip
        pool.map(_live, [2] * 2, chunksize=1)
        for at_once in (1, 2):
            _tell_lives(report, pool, at_once)


def _written(pool: Pool, under_way: float) -> list[float]:
    """Return how many milliseconds each recorded transaction took, while another process has an act under way that long, or none."""
    beside = pool.apply_async(_write, [SECONDS, under_way]) if under_way else None
    took = pool.map(_write, [SECONDS] * WRITERS, chunksize=1)
    if beside is not None:
        beside.get()
    return [one for each in took for one in each]


def _tell_lives(report: Report, pool: Pool, at_once: int) -> None:
    began = time.perf_counter()
    lives = pool.map(_live, [LIVES] * at_once, chunksize=1)
    took = time.perf_counter() - began
    report.note(f"{at_once} at a time: {LIVES * at_once / took:.1f} lives of a grant a second")
    for number, what in enumerate(
        ("asking", "approving", "starting", "ending", "Python's CPU for all of it")
    ):
        each = [life[number] for some in lives for life in some]
        report.note(f"    {what}: median {median(each):.1f} ms, p99 {percentile(each, 99):.1f} ms")


def _connect(database_url: str) -> None:
    os.environ["DATABASE_URL"] = database_url
    os.environ["DJANGO_SETTINGS_MODULE"] = "broker.settings"
    import django

    django.setup()
    from broker.kernel import clock

    clock.sync()


def _write(seconds: float, under_way: float = 0) -> list[float]:
    """Record one entry after the other, each in a transaction of its own."""
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
                event=Event.COMMAND_ALLOWED, actor=Actor.system("bench"), object_type="sweeper", object_ref=name,
                data={}, now=clock.now(),
            )  # fmt: skip
            if under_way:
                time.sleep(under_way)
        took.append((time.perf_counter() - began) * 1000)
    return took


def _live(count: int) -> list[tuple[float, ...]]:
    """Let grants live, one after the other, and return how many milliseconds each step of each took, and Python's CPU."""
    from accounts.models import Identity
    from broker.kernel import clock
    from sessions_app.models import EndReason, Grant
    from sessions_app.operations.grants.end_grant import end_grant
    from sessions_app.operations.grants.provision_grant import provision_grant
    from sessions_app.operations.requests.check_request import NewRequest
    from sessions_app.operations.requests.decide_request import decide_request
    from sessions_app.operations.requests.request_access import request_access

    alice, bob = (Identity.objects.get(username=name) for name in ("alice", "bob"))
    ask = NewRequest(
        cluster="web",
        command_set="restart-web",
        duration=3600,
        reason="Nightly",
        parameters={"unit": "nginx"},
    )
    lives = []
    for _ in range(count):
        cpu, moments = time.process_time(), [time.perf_counter()]
        request = request_access(requester=alice, ask=ask, now=clock.now())
        moments.append(time.perf_counter())
        decide_request(
            request_id=request.pk, approver=bob, verdict="approve", digest=request.digest, now=clock.now()
        )
        moments.append(time.perf_counter())
        grant = provision_grant(grant_id=Grant.objects.get(request=request).pk, now=clock.now())
        moments.append(time.perf_counter())
        end_grant(grant_id=grant.pk, actor=bob, reason=EndReason.REVOKED, now=clock.now())
        moments.append(time.perf_counter())
        steps = [(after - before) * 1000 for before, after in itertools.pairwise(moments)]
        lives.append((*steps, (time.process_time() - cpu) * 1000))
    return lives
