"""What Celery does for Django, except that it would close the database connection before and after each task.

A new connection costs more CPU than most tasks: a process of PostgreSQL, a SCRAM login, and empty caches.
"""

from __future__ import annotations

from functools import cached_property

from celery import Celery
from celery.fixups.django import DjangoFixup, DjangoWorkerFixup  # type: ignore[attr-defined]  # not in the stubs
from django.db import close_old_connections, connections


class _WorkerFixup(DjangoWorkerFixup):  # type: ignore[misc]
    """Keeps the connection of each thread as long as it is usable."""

    def install(self) -> DjangoWorkerFixup:
        """Close what the checks at the start opened, in a thread that needs no connection."""
        found = super().install()
        connections.close_all()
        return found

    def close_database(self, **_: object) -> None:
        """Close the thread's connection only if it is broken or too old."""
        close_old_connections()


class _Fixup(DjangoFixup):
    @cached_property
    def worker_fixup(self) -> DjangoWorkerFixup:  # type: ignore[override]
        """What a worker does around its tasks."""
        return _WorkerFixup(self.app)


def fixup(app: Celery) -> DjangoFixup:
    """Prepare an app of Celery for Django."""
    found = _Fixup(app)
    found.install()
    return found
