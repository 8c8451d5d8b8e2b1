"""What Celery does around the tasks of a worker, as far as the database is concerned."""

from types import SimpleNamespace

import pytest
from django.db import connections

from broker.celery import app


@pytest.fixture
def opened(db, monkeypatch):
    """A thread's connection."""
    found = connections.create_connection("default")
    monkeypatch.setattr(connections, "all", lambda **_: [found])
    found.connect()
    yield found
    found.close()


def around_a_task() -> None:
    task = SimpleNamespace(request=SimpleNamespace(is_eager=False))
    (installed,) = app._fixups
    installed.worker_fixup.on_task_prerun(task)
    installed.worker_fixup.on_task_postrun(task)


def test_a_thread_keeps_its_connection_from_one_task_to_the_next(opened):
    before = opened.connection
    around_a_task()
    assert opened.connection is before


def test_a_connection_that_broke_is_closed_before_the_next_task(opened):
    opened.errors_occurred = True
    opened.connection.close()
    around_a_task()
    assert opened.connection is None
