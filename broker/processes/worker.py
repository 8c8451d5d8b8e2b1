"""The worker process: `celery -A broker.processes.worker:app worker --ticks`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from celery import bootsteps
from celery.beat import EmbeddedService, Scheduler
from celery.signals import celeryd_init, worker_ready

from broker.celery import app
from broker.kernel.database import name_process
from broker.processes.watchdog import report

__all__ = ["app"]


class Ticks(bootsteps.StartStopStep):
    """The scheduler, in a thread: Celery's own `-B` forks a process, which costs 50 MB more."""

    def __init__(self, worker: Any, ticks: bool = False, **options: Any) -> None:
        super().__init__(worker, **options)
        self.enabled = ticks

    def create(self, worker: Any) -> Any:
        """Return the thread. It stores no file: the schedule holds nothing that the database doesn't know better."""
        return EmbeddedService(worker.app, thread=True, scheduler_cls=Scheduler)

    def stop(self, parent: Any) -> None:
        """Ask the thread to end, without waiting: as long as the queue is away, it looks for that only. It ends with the
        process.
        """
        self.obj.service.stop(wait=False)

    terminate = stop


app.user_options["worker"].add(click.Option(("--ticks",), is_flag=True, help="Also run the scheduler."))
app.steps["worker"].add(Ticks)


@celeryd_init.connect
def _name(**_: object) -> None:
    name_process("worker")


@worker_ready.connect
def _say(sender: Any, **_: object) -> None:
    """Tell `manage.py up` or systemd, whichever started this worker."""
    if path := os.environ.get("STINT_WORKER_READY"):
        Path(path).touch(mode=0o600)
    report(lambda: _ticks(sender))


def _ticks(consumer: Any) -> bool:
    """Whether the scheduler's thread lives. Without the queue, nothing else shows whether a worker works."""
    return all(
        step.obj.is_alive()
        for step in consumer.controller.steps
        if isinstance(step, Ticks) and step.obj is not None
    )
