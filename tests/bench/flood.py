"""Invalid requests from 1,000 addresses to the token exchange: ends take no longer, and the record gets few
entries.
"""

import contextlib
import http.client
import itertools
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event as Signal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.bench.database import database, fill_grants
from tests.bench.report import Report, median, percentile
from tests.environment import POSTGRES
from tests.support.browser.site import serve
from tests.support.waits import eventually

ADDRESSES = 1000
# Requests a second. More would only use up the CPU of a machine with two cores.
RATE = 50
THREADS = 4
# By turns, so that what else the machine does falls on all: quiet, under the same requests for a grant type
# that there is none of, of which nothing is written down, and under garbage.
ROUNDS, ENDS = 20, 50
APART_S = 0.02
MOST = 1.2
# Interval in seconds, the same as the worker's.
TOLD_EVERY_S = 5
GARBAGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "subject_token": "garbage",
}
FORMS = (urlencode({**GARBAGE, "grant_type": "nothing"}), urlencode(GARBAGE))


def run(report: Report) -> None:
    """Measure."""
    with database() as (name, _), tempfile.TemporaryDirectory(prefix="stint-bench-") as folder:
        env = {
            **os.environ,
            "DATABASE_URL": POSTGRES.url("stint_app", name),
            "STINT_STATE_DIR": folder,
            "STINT_BEHIND_PROXY": "true",
        }
        fill_grants(
            name, 3 * ROUNDS * ENDS + ENDS, state="active", expires="now() + interval '1 hour'", first=100_000
        )
        cores = os.sched_getaffinity(0)
        # The flood and the server have a core of their own: the bench measures their effect on the record,
        # not on the machine.
        os.sched_setaffinity(0, {max(cores)})
        with serve(env, Path(folder)) as url, _flood(env, url) as (on, which, answered):
            os.sched_setaffinity(0, (cores - {max(cores)}) or cores)
            _measure(report, on, which, answered)
        os.sched_setaffinity(0, cores)


def _measure(report: Report, on: Signal, which: Any, answered: Any) -> None:
    from broker.audit.models import AuditEntry
    from sessions_app.models import Grant

    ids = list(Grant.objects.filter(state="active").order_by("pk").values_list("pk", flat=True))
    parts = _batched(ids)
    _end(next(parts))
    quiet: list[float] = []
    under: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        quiet += _end(next(parts))
        for recorded in (0, 1):
            which.value = recorded
            on.set()
            before = answered[recorded]
            eventually(lambda at=recorded, before=before: answered[at] > before + RATE // 2, within=60)
            under[recorded].extend(_end(next(parts)))
            on.clear()
    unheard, flooded = under
    entries = AuditEntry.objects.filter(event="identity.token_refused").count()
    for what, took in (
        ("quiet", quiet),
        ("under requests that nobody records", unheard),
        ("under garbage", flooded),
    ):
        report.note(f"an end {what}: median {median(took):.1f} ms, p99 {percentile(took, 99):.1f} ms")
    report.note(f"{answered[1]:,} garbage requests of {ADDRESSES:,} addresses became {entries:,} entries")
    worse = percentile(flooded, 99) / percentile(unheard, 99)
    report.figure("an end under garbage over requests that nobody records, p99", worse, "x", most=MOST)
    report.figure("entries for each request of the flood", entries / answered[1], "x", most=0.2)


def _end(ids: tuple[int, ...]) -> list[float]:
    """End grants one by one and return how long each took, in milliseconds."""
    from broker.kernel import clock
    from sessions_app.models import EndReason
    from sessions_app.operations.grants.end_grant import end_grant

    took = []
    for pk in ids:
        began = time.perf_counter()
        end_grant(grant_id=pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(APART_S)
    return took


def _batched(ids: list[int]) -> Iterator[tuple[int, ...]]:
    return (tuple(ids[at : at + ENDS]) for at in range(0, len(ids), ENDS))


@contextlib.contextmanager
def _flood(env: dict[str, str], url: str) -> Iterator[tuple[Signal, Any, Any]]:
    """Start a process that floods while its signal is set. Yields the signal, the form that it sends, and how
    many of each got a response.
    """
    context = multiprocessing.get_context("spawn")
    on, over = context.Event(), context.Event()
    which, answered = context.Value("l", 0), context.Array("l", 2)
    process = context.Process(target=flood, args=(env["DATABASE_URL"], url, on, over, which, answered))
    process.start()
    try:
        yield on, which, answered
    finally:
        over.set()
        on.set()
        process.join(20)
        assert process.exitcode == 0


def flood(database_url: str, url: str, on: Signal, over: Signal, which: Any, answered: Any) -> None:
    """Send invalid requests from many addresses while ``on``, and report the counts, until ``over``."""
    os.environ["DATABASE_URL"] = database_url
    import django

    django.setup()
    from broker.audit.attempts import append_attempts
    from broker.kernel import clock

    numbers = itertools.count()
    senders = [
        threading.Thread(target=_send, args=(url, numbers, on, over, which, answered)) for _ in range(THREADS)
    ]
    for sender in senders:
        sender.start()
    while not over.wait(TOLD_EVERY_S):
        append_attempts(clock.now())
    for sender in senders:
        sender.join()


def _send(url: str, numbers: Iterator[int], on: Signal, over: Signal, which: Any, answered: Any) -> None:
    wire = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    while on.wait() and not over.is_set():
        began, form = time.monotonic(), which.value
        address = next(numbers) % ADDRESSES
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Forwarded-For": f"198.18.{address // 250}.{address % 250 + 1}",
        }
        wire.request("POST", "/oauth/token", body=FORMS[form], headers=headers)
        answer = wire.getresponse()
        answer.read()
        assert answer.status in (400, 429), answer.status
        with answered.get_lock():
            answered[form] += 1
        time.sleep(max(0.0, THREADS / RATE - (time.monotonic() - began)))
    wire.close()
