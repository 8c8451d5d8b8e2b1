"""The worker's process: `celery -A broker.worker:app worker --ticks`."""

from __future__ import annotations

from typing import Any

import click
from celery import bootsteps
from celery.beat import EmbeddedService, Scheduler
from celery.signals import worker_init

from broker import gate
from broker.celery import app

__all__ = ["app"]


class Ticks(bootsteps.StartStopStep):
    """The schedule, in a thread: Celery's own `-B` forks a process, which costs 50 MB more."""

    def __init__(self, worker: Any, ticks: bool = False, **options: Any) -> None:
        super().__init__(worker, **options)
        self.enabled = ticks

    def create(self, worker: Any) -> Any:
        """Return the thread. It keeps no file: the schedule holds nothing that the database doesn't know better."""
        return EmbeddedService(worker.app, thread=True, scheduler_cls=Scheduler)


app.user_options["worker"].add(click.Option(("--ticks",), is_flag=True, help="Run the schedule as well."))
app.steps["worker"].add(Ticks)


@worker_init.connect
def _wait(**_: object) -> None:
    gate.wait()
