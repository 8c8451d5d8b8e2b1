"""Messages are hints: a queue that is gone costs nobody time, and loses nothing."""

import socket
import time

import pytest
from celery import current_app
from django.db import transaction

from broker.kernel import enqueue as module
from tests.support.pace import allow


@pytest.fixture
def dead_queue(settings, tmp_path):
    """A queue whose server is not there."""
    url = f"redis+socket://{tmp_path}/nobody.sock"
    settings.CELERY_BROKER_URL = url
    current_app.conf.broker_url = url
    module._silent_until = 0.0
    yield url
    current_app.conf.broker_url = None
    module._silent_until = 0.0


@pytest.mark.django_db(transaction=False)
def test_nothing_is_sent_before_the_commit(dead_queue, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic():
        module.enqueue("workflows.read", workflow_id=1)
        assert module._silent_until == 0.0
    assert len(callbacks) == 1


@pytest.mark.timing
def test_a_dead_queue_is_not_waited_for_and_not_asked_again_at_once(db, dead_queue):
    began = time.monotonic()
    module._send("workflows.read", {"workflow_id": 1})
    assert time.monotonic() - began < allow(4), "a person would have waited for a queue that is gone"
    assert module._silent_until >= began + module._SILENCE


@pytest.mark.timing
def test_a_queue_that_accepts_and_says_nothing_is_given_up_soon(db, settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        settings.CELERY_BROKER_URL = url
        current_app.conf.broker_url = url
        module._silent_until = 0.0
        began = time.monotonic()
        module._send("workflows.read", {"workflow_id": 1})
        assert time.monotonic() - began < allow(8)
        assert module._silent_until > 0
    current_app.conf.broker_url = None
    module._silent_until = 0.0
