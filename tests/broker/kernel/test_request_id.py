"""The id of a request goes with all that is done for it, and into its entries in the record."""

import contextvars
import threading

from django.db import connection, transaction
from django.template.loader import render_to_string

from broker.audit.events import Event
from broker.audit.models import AuditEntry
from broker.audit.record import record
from broker.audit.verify import verify
from broker.celery import _lapse_by_the_database
from broker.kernel import request_id
from broker.kernel.keyed_threads import KeyedThreads
from sessions_app.web.templatetags.stint import reference
from tests.support.waits import eventually
from tests.support.world.world import SETUP

ID = "0af7651916cd43dd8448eb211c80319c"


def entry(now) -> dict:
    with transaction.atomic():
        record(
            event=Event.RECORD_VERIFIED,
            actor=SETUP,
            object_type="log",
            object_ref="main",
            now=now,
            data={"n": 1},
        )
    connection.check_constraints()
    return AuditEntry.objects.order_by("-seq").first().data


def test_an_entry_has_it_if_there_is_one_and_the_record_stays_verifiable(stint_db, now):
    with request_id.bound(ID):
        assert entry(now) == {"n": 1, "request_id": ID}
    assert entry(now) == {"n": 1}
    assert verify(connection=connection).ok


def test_a_message_to_the_worker_has_it(db):
    headers: dict = {}
    with request_id.bound(ID):
        _lapse_by_the_database(headers=headers)
    assert headers[request_id.IN_MESSAGE] == ID


def test_what_a_thread_does_for_a_request_has_it():
    found: list[str] = []
    with request_id.bound(ID):
        KeyedThreads(1).start("key", lambda: found.append(request_id.current()))
    eventually(lambda: found == [ID])
    thread = threading.Thread(
        target=contextvars.Context().run, args=(lambda: found.append(request_id.current()),)
    )
    thread.start()
    thread.join()
    assert found[1] == ""


def test_an_error_page_shows_it_as_the_reference():
    assert reference() == ""
    with request_id.bound(ID):
        assert f"<code>{ID}</code>" in reference()
        assert ID in render_to_string("500.html")
