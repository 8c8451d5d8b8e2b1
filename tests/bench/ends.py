"""Manual ends: time from the click to the response, and until nothing is usable, while others write to the
same grants and the record.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg

from tests.bench.database import database, fill_grants
from tests.bench.report import Report, median, percentile
from tests.environment import POSTGRES

WRITERS, CLICKS = 20, 100
# Duration of a phase, in seconds.
LONGEST = 40
# The number of grants that writers lock at a time.
TOGETHER = 4

_ROW = "SELECT state FROM sessions_app_grant WHERE id = %s"


@dataclass
class Phase:
    """The latencies of one phase, in milliseconds from the click."""

    answered: list[float] = field(default_factory=list)
    over: list[float] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)
    usable: int = 0


def run(report: Report) -> None:
    """Measure."""
    with database() as (name, world):
        fill_grants(name, 2 * CLICKS, state="active", expires="now() + interval '1 hour'", first=10_000)
        ids = _ids(name)
        with _swept():
            _tell(report, f"beside {WRITERS} writers", _phase(name, world.admin, ids[:CLICKS]))
            with _head_held(name):
                held = _phase(name, world.admin, ids[CLICKS:])
            _tell(report, "the same while the record's head is held", held)


def _tell(report: Report, words: str, phase: Phase) -> None:
    report.note(f"{len(phase.answered)} ends by people, {words}")
    report.figure("end, answered, median", median(phase.answered), "ms")
    report.figure("the same, p99", percentile(phase.answered, 99), "ms", most=300)
    report.figure(
        "no longer usable by a gateway or a decision, p99", percentile(phase.over, 99), "ms", most=300
    )
    report.figure("usable after the answer", phase.usable, "ends", most=0)
    report.figure("begun in the grant's row, p99", percentile(phase.settled, 99), "ms")


def _ids(name: str) -> list[int]:
    with psycopg.connect(POSTGRES.url("stint_owner", name)) as owner:
        return [id_ for (id_,) in owner.execute("SELECT id FROM sessions_app_grant ORDER BY id")]


def _phase(name: str, admin, ids: list[int]) -> Phase:
    """End one grant after another as the page does, each with concurrent writers, for at most `LONGEST`."""
    from broker.kernel import clock
    from sessions_app.operations.grants.stop_grant import stop_grant

    phase, watchers = Phase(), []
    until = time.monotonic() + LONGEST
    with _written_to(name, ids) as move_on:
        for place, grant_id in enumerate(ids):
            if time.monotonic() > until:
                break
            move_on(place)
            time.sleep(0.1)
            began = time.perf_counter()
            watchers.append(threading.Thread(target=_watch, args=(grant_id, began, phase)))
            watchers[-1].start()
            stop_grant(grant_id=grant_id, actor=admin, now=clock.now(), note="bench")
            phase.answered.append((time.perf_counter() - began) * 1000)
            phase.usable += _usable(grant_id)
    for watcher in watchers:
        watcher.join()
    return phase


def _usable(grant_id: int) -> bool:
    """Return whether a gateway would keep a grant's sessions, or a decision would allow its use."""
    from broker.kernel import clock
    from sessions_app.models import Grant
    from sessions_app.operations.sessions.authorize_use import authorize_use
    from sessions_app.operations.sessions.proofs.holder import ByHolder
    from sessions_app.queries.grants.current import grants_now

    now = clock.now()
    holder, ref = Grant.objects.values_list("holder_id", "ref").get(pk=grant_id)
    decided = authorize_use(by=ByHolder(holder, "web-1", ref, now))
    return bool(decided) or grants_now([grant_id], now)[grant_id].live


def _watch(grant_id: int, began: float, phase: Phase) -> None:
    """Poll, as gateways do, until the grant has ended, and then until its row has."""
    from django.db import connection

    with contextlib.closing(connection):
        while _usable(grant_id):
            time.sleep(0.005)
        phase.over.append((time.perf_counter() - began) * 1000)
        with connection.cursor() as cursor:
            cursor.execute(_ROW, [grant_id])
            while cursor.fetchone() == ("active",):
                time.sleep(0.02)
                cursor.execute(_ROW, [grant_id])
        phase.settled.append((time.perf_counter() - began) * 1000)
        phase.usable += _usable(grant_id)


@contextlib.contextmanager
def _written_to(name: str, ids: list[int]) -> Iterator[Callable[[int], None]]:
    """Let writers lock grants as starts, extensions and heartbeats do, most for milliseconds, some for
    seconds, and end with an entry in the record. Call the result with the index of the first grant to lock.
    """
    at, done = [0], threading.Event()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(POSTGRES.url("stint_app", name)) as connection:
            while not done.is_set():
                grant_id = chance.choice(ids[at[0] : at[0] + TOGETHER])
                long = chance.random() < 0.15
                lasts = chance.uniform(0.5, 2.5) if long else chance.uniform(0.005, 0.06)
                with connection.transaction():
                    live = connection.execute(
                        "SELECT ref FROM sessions_app_grant WHERE id = %s AND state = 'active' FOR NO KEY"
                        " UPDATE",
                        [grant_id],
                    ).fetchone()
                    connection.execute("SELECT pg_sleep(%s)", [lasts])
                    if live is not None:
                        connection.execute(
                            "UPDATE sessions_app_grant SET warned_at = now() WHERE id = %s", [grant_id]
                        )
                        connection.execute(
                            "SELECT audit_append_many('main', now(), 'grant.active', 'system:bench', NULL,"
                            " 'grant', ARRAY[%s], ARRAY['{}'::jsonb])",
                            live,
                        )

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield lambda place: at.__setitem__(0, place)
    finally:
        done.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def _head_held(name: str) -> Iterator[None]:
    """Let a connection lock the record for a second at a time."""
    done = threading.Event()

    def hold() -> None:
        with psycopg.connect(POSTGRES.url("stint_owner", name)) as owner:
            while not done.is_set():
                with owner.transaction():
                    owner.execute("SELECT FROM audit_head WHERE log = 'main' FOR NO KEY UPDATE")
                    done.wait(1)
                done.wait(0.01)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def _swept() -> Iterator[None]:
    """Sweep in the background, as each gateway does."""
    from django.db import connection

    from broker.kernel import clock
    from sessions_app.operations.sweep.sweep import sweep

    done = threading.Event()

    def work() -> None:
        with contextlib.closing(connection):
            while not done.wait(0.1):
                sweep(now=clock.now, name="bench")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
