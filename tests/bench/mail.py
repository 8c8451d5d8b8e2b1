"""A drill of ten minutes: thousands of notifications are due, the mail server hangs, no gateway runs, and
grants keep ending.
"""

import datetime as dt
import itertools
import socket
import time
from collections.abc import Sequence

import redis

from broker.celery import QUEUES
from broker.embedded.valkey import EmbeddedValkey
from tests.bench.database import fill_grants
from tests.bench.place import bare_place, queue, worker
from tests.bench.report import Report, percentile

NOTICES, SECONDS = 5_000, 600
AHEAD = dt.timedelta(seconds=30)


def run(report: Report) -> None:
    """Measure."""
    with queue() as valkey, bare_place() as (name, place), socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(1024)
        host, port = hole.getsockname()
        place.stop()
        mail = {"STINT_SMTP_HOST": host, "STINT_SMTP_PORT": str(port)}
        place.env |= {"REDIS_URL": valkey.celery_url(), **mail}
        _measure(report, name, place, valkey)


def _measure(report: Report, name: str, place, valkey: EmbeddedValkey) -> None:
    from broker.kernel import clock
    from sessions_app.models import Grant, Notice

    alice = place.world.alice
    Notice.objects.bulk_create(
        Notice(identity=alice, event="grant.active", subject=f"Notice {n}", path="/") for n in range(NOTICES)
    )
    begin = clock.now() + AHEAD
    expires = f"timestamptz '{begin.isoformat()}' + (i - 1) * interval '1 second'"
    fill_grants(name, SECONDS, state="active", expires=expires, first=300_000)
    with worker(place):
        longest = _watch(valkey, until=begin + dt.timedelta(seconds=SECONDS + 10))
    ends = Grant.objects.filter(request__number__gt=300_000).values_list("revoking_at", "expires_at")
    late = [(began - due).total_seconds() * 1000 if began else float("inf") for began, due in ends]
    what = f"{SECONDS // 60} minutes, {NOTICES:,} due notices, dead mail server"
    report.figure(f"{what}: lateness of ends, p99", percentile(late, 99), "ms", most=1_000)
    report.figure(f"{what}: longest time without a checkpoint", _gap(_checkpoints()), "s", most=75)
    report.figure(f"{what}: longest time without a reconciliation", max(longest[1:], default=0), "s", most=75)
    report.figure(f"{what}: messages in the queue, most", longest[0], "", most=50)
    report.note(f"tried to mail {Notice.objects.filter(attempts__gt=0).count()} times")


def _watch(valkey: EmbeddedValkey, *, until: dt.datetime) -> list[float]:
    """Return the longest queue length, and each second the time since the last reconciliation."""
    from broker.kernel import clock
    from sessions_app.models import Observation

    most, began, ages = 0, clock.now(), [0.0]
    with redis.Redis.from_url(valkey.url()) as client:
        while (now := clock.now()) < until:
            most = max(most, *(client.llen(name) for name in QUEUES))
            tried = Observation.objects.order_by("tried_at").values_list("tried_at", flat=True).first()
            ages.append((now - (tried or began)).total_seconds())
            time.sleep(1)
    return [most, *ages]


def _checkpoints() -> list[dt.datetime]:
    from broker.audit.models import AuditCheckpoint

    return list(AuditCheckpoint.objects.order_by("size").values_list("at", flat=True))


def _gap(moments: Sequence[dt.datetime]) -> float:
    pairs = itertools.pairwise(moments)
    return max(((after - before).total_seconds() for before, after in pairs), default=float("inf"))
