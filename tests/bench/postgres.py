"""PostgreSQL: how fast an end reaches a session, and how long many ends on one server take.

The servers are real and write to disk; a session counts as ended when its backend process has exited.
"""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from broker.embedded.state import temporary_state_dir
from tests.bench.report import Report, median, percentile
from tests.support.servers.postgres_server import PostgresServer, majors
from tests.support.servers.postgres_shop import Given, Shop, set_up

REVOKES, WARM = 200, 5
CROWD, WORKERS = 200, 8
DURABLE = {"fsync": "on", "synchronous_commit": "on", "max_connections": "300"}
GRANTS = (
    "SELECT, UPDATE (status) ON app.orders",
    "EXECUTE ON FUNCTION app.close(int)",
    "ROLE reporting_reader",
)


def run(report: Report) -> None:
    """Measure each PostgreSQL version."""
    for major in majors():
        with temporary_state_dir("stint-bench-") as state, PostgresServer(state, major, DURABLE) as server:
            shop = set_up(server)
            _revokes(report, shop)
            _crowd(report, shop)


def _revokes(report: Report, shop: Shop) -> None:
    gone, whole, made = [], [], []
    for number in range(REVOKES + WARM):
        began = time.perf_counter()
        given = shop.give(*GRANTS)
        made.append((time.perf_counter() - began) * 1000)
        with given.login() as session:
            running = threading.Thread(target=_run, args=(session,))
            running.start()
            death = _Death(session.info.backend_pid)
            began = time.perf_counter()
            assert given.revoke().gone
            whole.append((time.perf_counter() - began) * 1000)
            gone.append((death.seen() - began) * 1000)
            running.join()
        if number < WARM:
            gone, whole, made = [], [], []
    name = f"PostgreSQL {shop.major}"
    report.note(
        f"{name}: provision and issue: median {median(made):.0f} ms, p99 {percentile(made, 99):.0f} ms"
    )
    report.note(f"{name}: whole revoke: median {median(whole):.0f} ms, p99 {percentile(whole, 99):.0f} ms")
    report.note(f"{name}: revoke call to backend gone: median {median(gone):.1f} ms")
    report.figure(
        f"{name}: revoke call to backend gone, p99 of {REVOKES}", percentile(gone, 99), "ms", most=500
    )


def _run(session: psycopg.Connection) -> None:
    with contextlib.suppress(psycopg.Error):
        session.execute("SELECT count(*) FROM generate_series(1, 1000000000000)")


class _Death:
    """Polls for a process every half millisecond until it has exited."""

    def __init__(self, pid: int) -> None:
        self._at = 0.0
        self._thread = threading.Thread(target=self._look, args=(Path(f"/proc/{pid}"),), daemon=True)
        self._thread.start()

    def _look(self, process: Path) -> None:
        while process.exists():
            time.sleep(0.0005)
        self._at = time.perf_counter()

    def seen(self) -> float:
        self._thread.join(10)
        assert self._at, "it still runs"
        return self._at


def _crowd(report: Report, shop: Shop) -> None:
    """End many grants on one server at once, each with an open session, with the worker threads of one
    process.
    """
    given = [shop.give(*GRANTS) for _ in range(CROWD)]
    sessions = [one.login() for one in given]
    began = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        assert all(pool.map(_revoke, given))
    took = time.perf_counter() - began
    for session in sessions:
        session.close()
    assert shop.connector.observe(shop.place()) == []
    report.figure(f"PostgreSQL {shop.major}: {CROWD} grants of one server ended", took, "s", most=10)


def _revoke(given: Given) -> bool:
    return given.revoke().gone
