"""Messages of the worker lapse by the database's clock, whatever the clocks of nodes say."""

import datetime as dt
from types import SimpleNamespace

import pytest
from celery.worker import request as celery_request
from celery.worker.consumer.control import Control
from django.utils.module_loading import import_string
from kombu import Connection, Message

from broker import celery
from broker.celery import app
from broker.kernel import clock
from broker.processes.on_time import OnTime

HOUR = dt.timedelta(hours=1)
# Less than any clock is off here, and longer than anything takes.
LASTS = dt.timedelta(minutes=10)


@pytest.fixture
def skewed(monkeypatch):
    """Set this node's clock, which is the outside world, off by so much, as Celery and Stint read it."""

    def skew(by: dt.timedelta) -> None:
        class Skewed(dt.datetime):
            @classmethod
            def now(cls, tz=None):
                return dt.datetime.now(tz) + by

        monkeypatch.setattr(celery_request, "datetime", Skewed)
        monkeypatch.setattr(
            celery, "dt", SimpleNamespace(datetime=Skewed, timedelta=dt.timedelta, UTC=dt.UTC)
        )
        monkeypatch.setattr(app, "now", lambda: Skewed.now(dt.UTC))

    return skew


@pytest.fixture
def queue():
    """Send a tick that lasts ten minutes, and return it as the worker gets it."""
    with Connection("memory://") as connection:

        def send() -> Message:
            with connection.Producer() as producer:
                app.send_task("sweep.tick", expires=LASTS.total_seconds(), queue="revoke", producer=producer)
            message = connection.channel().basic_get("revoke", no_ack=True)
            assert message is not None
            return message

        yield send


def request_of(message: Message) -> OnTime:
    app.loader.import_default_modules()
    task = app.tasks["sweep.tick"]
    made = import_string(task.Request.replace(":", "."))(
        message, app=app, task=task, hostname="test", on_ack=lambda *_: None, on_reject=lambda *_: None
    )
    assert isinstance(made, OnTime)
    return made


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_a_worker_whose_clock_is_off_throws_nothing_away_that_others_send(db, queue, skewed, by):
    message = queue()
    skewed(by)
    assert not request_of(message).revoked()


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_what_a_node_sends_whose_clock_is_off_lasts_as_long_as_what_others_send(db, queue, skewed, by):
    skewed(by)
    before = clock.now()
    lapses = request_of(queue()).expires
    assert before <= lapses - LASTS <= clock.now()


def test_what_is_too_old_by_the_clock_of_the_database_is_thrown_away(db, queue):
    message = queue()
    message.headers["expires"] = (clock.now() - dt.timedelta(seconds=1)).isoformat()
    assert request_of(message).revoked()


def test_a_checkpoint_is_asked_for_often_enough_that_none_is_more_than_a_minute_after_the_last():
    assert app.conf.beat_schedule["checkpoint"]["schedule"] <= 5


def test_nobody_controls_a_worker_through_the_queue():
    consumer = SimpleNamespace(app=app, conninfo=SimpleNamespace(supports_exchange_type=lambda _: True))
    assert not Control.include_if(None, consumer)
