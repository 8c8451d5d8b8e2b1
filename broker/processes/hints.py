"""The worker's listener for tasks that are notifications of the database (`broker.kernel.enqueue`).

Each worker gets each notification. The task itself makes sure that only one of them does the work, as between
a worker and the gateways.
"""

from __future__ import annotations

import contextlib
import json
import select
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from typing import Any

import psycopg
import structlog
from celery import Celery
from django.db import close_old_connections
from structlog.contextvars import bound_contextvars

from broker.kernel import request_id, tracing
from broker.kernel.database import conninfo
from broker.kernel.enqueue import CHANNEL, NOTIFIED
from broker.kernel.errors import Overtaken
from broker.kernel.metrics import TASKS
from broker.kernel.threads import Threads

log = structlog.get_logger(__name__)

# As many as the worker has for the tasks from the queue.
THREADS = 4
_FIRST_RETRY, _LAST_RETRY = 0.1, 2.0
# Seconds for which a worker that stops waits for the tasks that run. A task that is killed holds its claim on
# the row for a while, which would delay the end of a grant.
_LONGEST_STOP = 10.0


class Hints(threading.Thread):
    """Runs the tasks that the database notifies of. What was missed without a connection, the sweep finds."""

    def __init__(self, app: Celery) -> None:
        super().__init__(name="hints", daemon=True)
        self._app = app
        self._threads = Threads(THREADS, name="hints")
        self._running: set[Future[None]] = set()
        self._stops = threading.Event()

    def finish(self) -> None:
        """Start no more tasks, and wait for those that run."""
        self._stops.set()
        self._threads.shutdown(cancel_futures=True)
        wait(list(self._running), timeout=_LONGEST_STOP)

    def run(self) -> None:
        """Listen until the worker stops."""
        pause = _FIRST_RETRY
        while not self._stops.is_set():
            try:
                with psycopg.connect(conninfo(), autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    pause = _FIRST_RETRY
                    for payload in _payloads(connection):
                        self._start(payload)
            except (psycopg.Error, OSError) as error:
                log.warning("hints.lost", error=str(error).strip())
            self._stops.wait(pause)
            pause = min(_LAST_RETRY, pause * 2)

    def _start(self, payload: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # the threads are stopped
            task = self._threads.submit(carry_out, self._app, payload)
            self._running.add(task)
            task.add_done_callback(self._running.discard)


def _payloads(connection: psycopg.Connection[Any]) -> Iterator[bytes]:
    """Wait for notifications. psycopg's own method wakes up ten times a second."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    while True:
        connection.pgconn.consume_input()
        while (notice := connection.pgconn.notifies()) is not None:
            yield notice.extra
        poll.poll()


def carry_out(app: Celery, payload: bytes) -> None:
    """Run the task of a notification. Anything else in a notification is ignored."""
    try:
        hint = json.loads(payload)
        task, ids, id_, trace = (hint[name] for name in ("task", "ids", "request_id", "trace"))
    except (ValueError, TypeError, KeyError):
        return
    if not isinstance(task, str) or task not in NOTIFIED:
        return
    with (
        request_id.bound(str(id_)),
        bound_contextvars(task=task),
        tracing.span(f"stint.task {task}", str(trace)),
    ):
        try:
            with _measured(task):
                close_old_connections()
                app.tasks[task].run(**ids)
        except Overtaken as error:
            log.info("hints.overtaken", why=str(error))
        except Exception:
            # Catch everything, because no other code would. The sweep will find the row again.
            log.exception("hints.failed")


@contextlib.contextmanager
def _measured(task: str) -> Iterator[None]:
    began, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "done"
    except Overtaken:
        outcome = "overtaken"
        raise
    finally:
        TASKS.labels(task, outcome).observe(time.perf_counter() - began)
