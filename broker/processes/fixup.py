"""Celery's support for Django, without closing the database connection before and after each
task.

A new connection costs more CPU than most tasks: PostgreSQL forks a process, verifies a SCRAM login and starts
with empty caches.
"""

from __future__ import annotations

from functools import cached_property

from celery import Celery
from celery.fixups.django import DjangoFixup, DjangoWorkerFixup  # type: ignore[attr-defined]  # not in the stubs
from django.db import close_old_connections, connections


class _WorkerFixup(DjangoWorkerFixup):  # type: ignore[misc]
    """Keep each thread's connection for as long as it is usable."""

    def install(self) -> DjangoWorkerFixup:
        """Close the connection that the startup checks opened, because this thread needs none."""
        found = super().install()
        connections.close_all()
        return found

    def close_database(self, **_: object) -> None:
        """Close the thread's connection only if it is broken or too old."""
        close_old_connections()


class _Fixup(DjangoFixup):
    @cached_property
    def worker_fixup(self) -> DjangoWorkerFixup:  # type: ignore[override]
        """The steps that a worker performs before and after its tasks."""
        return _WorkerFixup(self.app)


def fixup(app: Celery) -> DjangoFixup:
    """Prepare a Celery app for Django."""
    found = _Fixup(app)
    found.install()
    return found
