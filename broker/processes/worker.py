"""The worker process: `celery -A broker.processes.worker:app worker --ticks`."""

from __future__ import annotations

import heapq
import os
import time
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from celery import bootsteps
from celery.beat import EmbeddedService, Scheduler
from celery.signals import celeryd_init, task_postrun, task_prerun, worker_ready
from celery.states import SUCCESS
from django.conf import settings
from structlog.contextvars import bind_contextvars, clear_contextvars

from broker.celery import app
from broker.kernel import request_id, trace_ids, tracing
from broker.kernel.database import name_process
from broker.kernel.errors import Overtaken
from broker.kernel.metrics import TASKS, serve_metrics
from broker.processes.hints import Hints
from broker.processes.watchdog import report

__all__ = ["app"]


class Intervals(Scheduler):
    """Celery's scheduler for fixed intervals. At each tick, Celery's own scheduler compares all entries
    and converts times between zones, which takes more CPU time than all of their tasks when nothing is due.
    """

    @cached_property
    def _next(self) -> list[tuple[float, str]]:
        """A heap of the times at which each entry is next sent, by the monotonic clock.

        At first, all entries are due.
        """
        return [(0.0, name) for name in sorted(self.schedule)]

    def tick(self, *_: object, **__: object) -> float:
        """Send the entry that is due, if there is one, and return the seconds until the next entry is due."""
        (at, name), now = self._next[0], time.monotonic()
        if at > now:
            return at - now
        entry = self.schedule[name]
        every: float = entry.schedule.run_every.total_seconds()  # type: ignore[union-attr]  # an interval
        heapq.heapreplace(self._next, (at + every if at + every > now else now + every, name))
        self.apply_entry(entry, producer=self.producer)
        return 0.0


class Ticks(bootsteps.StartStopStep):
    """The scheduler, in a thread. Celery's own `-B` forks a process instead, which takes 50 MB more."""

    def __init__(self, worker: Any, ticks: bool = False, **options: Any) -> None:
        super().__init__(worker, **options)
        self.enabled = ticks

    def create(self, worker: Any) -> Any:
        """Return the thread. It stores no schedule file, because the state is in the database."""
        return EmbeddedService(worker.app, thread=True, scheduler_cls=Intervals)

    def stop(self, parent: Any) -> None:
        """Stop the thread, without waiting for it to end: while the queue is unreachable, it ends only
        with the process.
        """
        self.obj.service.stop(wait=False)

    terminate = stop


class Listens(bootsteps.StartStopStep):
    """The listener for tasks that are notifications of the database. Its thread ends with the process."""

    def create(self, worker: Any) -> Any:
        """Return the thread."""
        return Hints(worker.app)

    def stop(self, parent: Any) -> None:
        """Let the tasks that run finish. Another process does what would be started later."""
        self.obj.finish()

    terminate = stop


app.user_options["worker"].add(click.Option(("--ticks",), is_flag=True, help="Also run the scheduler."))
app.steps["worker"].update({Ticks, Listens})


@celeryd_init.connect
def _name(**_: object) -> None:
    name_process("worker")


@worker_ready.connect
def _say(sender: Any, **_: object) -> None:
    """Notify `manage.py up` or systemd that this worker is ready."""
    if path := os.environ.get("STINT_WORKER_READY"):
        Path(path).touch(mode=0o600)
    serve_metrics(settings.METRICS_HOST, settings.WORKER_METRICS_PORT)
    report(lambda: _ticks(sender))


# The start time and the span of each running task.
_began: dict[str, tuple[float, ExitStack]] = {}


@task_prerun.connect
def _begin(task_id: str, task: Any, **_: object) -> None:
    """Bind the task's name and request ID to its log lines, and start its span and its timer."""
    clear_contextvars()
    id_ = getattr(task.request, request_id.IN_MESSAGE, None)
    bind_contextvars(task=task.name, **({"request_id": str(id_)} if id_ else {}))
    spans = ExitStack()
    spans.enter_context(
        tracing.span(f"stint.task {task.name}", getattr(task.request, trace_ids.HEADER, None) or "")
    )
    _began[task_id] = time.perf_counter(), spans


@task_postrun.connect
def _end(task_id: str, task: Any, state: str, retval: object, **_: object) -> None:
    """Measure the task. A task that another process did first does not count as failed."""
    outcome = "overtaken" if isinstance(retval, Overtaken) else "done" if state == SUCCESS else "failed"
    if found := _began.pop(task_id, None):
        began, spans = found
        spans.close()
        TASKS.labels(task.name, outcome).observe(time.perf_counter() - began)
    clear_contextvars()


def _ticks(consumer: Any) -> bool:
    """Whether the scheduler's thread runs. While the queue is unreachable, this is the only sign of a working
    worker.
    """
    return all(
        step.obj.is_alive()
        for step in consumer.controller.steps
        if isinstance(step, Ticks) and step.obj is not None
    )
