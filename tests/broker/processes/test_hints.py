"""The worker's tasks that are notifications of the database."""

import json
import threading
from types import SimpleNamespace

import pytest
from django.db import transaction

from broker.celery import app
from broker.kernel import clock
from broker.kernel.enqueue import CHANNEL, enqueue
from broker.processes.hints import Hints, carry_out
from sessions_app.models import GrantState, Sweeper
from tests.support.world.acts import fresh


@pytest.fixture
def listening(app_connection):
    """Return the payloads that a worker gets until now."""
    app_connection.execute(f"LISTEN {CHANNEL}")

    def heard() -> list[bytes]:
        return [one.payload.encode() for one in app_connection.notifies(timeout=0)]

    return heard


def test_a_grant_is_announced_with_its_commit_and_started_by_the_worker(live_world, listening):
    app.loader.import_default_modules()
    now = clock.now()
    Sweeper.objects.update_or_create(name="test", defaults={"seen_at": now})
    grant = live_world.grant(now=now, start=False)
    (payload,) = listening()
    assert fresh(grant).state == GrantState.SCHEDULED
    carry_out(app, payload)
    assert fresh(grant).state == GrantState.ACTIVE
    carry_out(app, payload)
    assert fresh(grant).state == GrantState.ACTIVE


def test_nothing_is_announced_by_a_transaction_that_was_rolled_back(live_world, listening):
    with transaction.atomic():
        enqueue("grants.provision", grant_id=1)
        assert listening() == []
        transaction.set_rollback(True)
    assert listening() == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"7",
        b"[]",
        b"{}",
        b"\xff",
        json.dumps({"task": "sweep.tick", "ids": {}, "request_id": "", "trace": ""}).encode(),
        json.dumps({"task": ["x"], "ids": {}, "request_id": "", "trace": ""}).encode(),
        json.dumps({"task": "grants.provision", "ids": 7, "request_id": "", "trace": ""}).encode(),
        json.dumps(
            {"task": "grants.provision", "ids": {"grant_id": 10**12}, "request_id": [], "trace": {}}
        ).encode(),
    ],
)
def test_a_forged_notification_changes_nothing_and_ends_no_thread(live_world, payload):
    grant = live_world.grant(start=False)
    carry_out(app, payload)
    assert fresh(grant).state == GrantState.SCHEDULED


def test_a_worker_that_stops_finishes_its_tasks_and_starts_no_more():
    begun, may_end, done = threading.Event(), threading.Event(), []

    def task(name: str) -> None:
        begun.set()
        may_end.wait()
        done.append(name)

    hints = Hints(SimpleNamespace(tasks={"grants.provision": SimpleNamespace(run=task)}))
    hints._start(hint("first"))
    begun.wait()
    stopping = threading.Thread(target=hints.finish)
    stopping.start()
    hints._stops.wait()
    hints._start(hint("second"))
    assert stopping.is_alive()
    may_end.set()
    stopping.join()
    assert done == ["first"]


def hint(name: str) -> bytes:
    return json.dumps(
        {"task": "grants.provision", "ids": {"name": name}, "request_id": "", "trace": ""}
    ).encode()
