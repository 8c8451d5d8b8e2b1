"""Sending what waits for one endpoint."""

import datetime as dt
import threading

import pytest
from django.db import connection

from broker.kernel.keyed_threads import KeyedThreads
from sessions_app.models import Notice, WebhookEndpoint, WebhookMessage, WebhookState
from sessions_app.operations.notifications.deliver_webhooks import (
    CLAIM,
    DEAD_AFTER,
    WAITS,
    deliver_webhooks,
    due_endpoints,
)
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from tests.support.servers.receiver import (
    SECRET,
    Receiver,
    answered,
    endpoint,
    receiver,
    send_all,
    webhook_file,
)
from tests.support.waits import eventually, happens
from tests.support.world.acts import after, at_once, events, last


@pytest.fixture
def hooked(world, hook):
    world.apply(webhook_file(hook))
    return world


def test_a_message_goes_once_and_is_signed_by_the_endpoint_s_secret(hooked, hook):
    request = hooked.request()
    assert send_all(hooked.now) == 1
    assert send_all(hooked.now) == 0
    (came,) = hook.came
    assert came.is_signed_by(SECRET)
    assert came.json["data"]["request"] == request.ref
    assert came.headers["webhook-timestamp"] == str(int(hooked.now.timestamp()))
    message = WebhookMessage.objects.get()
    assert (message.state, message.sent_at, message.last_status) == (WebhookState.SENT, hooked.now, 200)


def test_one_that_is_not_taken_goes_again_with_the_same_id_and_a_new_time(hooked, hook):
    hook.answer = answered(500)
    hooked.request()
    assert send_all(hooked.now) == 0
    message = WebhookMessage.objects.get()
    assert (message.state, message.attempts, message.last_error) == (
        "pending",
        1,
        "The receiver returned status 500.",
    )
    assert after(hooked, seconds=4) <= message.next_attempt_at <= after(hooked, seconds=6, milliseconds=1)
    assert send_all(after(hooked, seconds=3)) == 0
    assert len(hook.came) == 1
    hook.answer = answered(204)
    assert send_all(after(hooked, seconds=7)) == 1
    first, second = hook.came
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert first.body == second.body
    assert endpoint().failing_since is None


def test_a_message_that_is_never_taken_is_given_up_while_others_go_on(hooked, hook):
    hooked.request()
    gather_webhooks(now=hooked.now)
    WebhookMessage.objects.update(attempts=len(WAITS))
    hook.answer = answered(400)
    send_all(hooked.now)
    message = WebhookMessage.objects.get()
    assert (message.state, message.next_attempt_at) == (WebhookState.FAILED, None)
    hook.answer = answered(200)
    hooked.request(reason="Another")
    assert send_all(after(hooked, minutes=1)) == 1


def test_an_endpoint_that_takes_nothing_for_three_days_is_paused_and_its_owners_are_told(world, hook):
    hook.answer = answered(503)
    world.apply(webhook_file(hook, owners={"identities": ["dora"]}))
    world.request()
    now = world.now
    for _ in range(len(WAITS) + 1):
        send_all(now)
        if endpoint().paused_at:
            break
        now = max(WebhookMessage.objects.get().next_attempt_at, endpoint().rest_until)
    paused = endpoint()
    assert paused.paused_at is not None
    assert paused.paused_at - world.now >= DEAD_AFTER * 0.8
    assert "The receiver returned status 503" in last("webhook.paused", "chat").data["reason"]
    (notice,) = Notice.objects.filter(event="webhook.paused")
    assert (notice.identity.username, notice.path) == ("dora", "/webhooks/chat/")
    count = len(hook.came)
    world.request(reason="Another")
    assert send_all(now + dt.timedelta(days=1)) == 0
    assert len(hook.came) == count


def test_one_without_owners_is_told_to_administrators_and_410_pauses_at_once(hooked, hook):
    hook.answer = answered(410)
    hooked.request()
    send_all(hooked.now)
    assert endpoint().paused_at == hooked.now
    assert Notice.objects.get(event="webhook.paused").identity == hooked.admin


def test_one_that_has_failed_is_left_alone_for_a_while(hooked, hook):
    hook.answer = answered(500)
    for number in range(3):
        hooked.request(reason=f"Number {number}")
    send_all(hooked.now)
    send_all(hooked.now)
    assert len(hook.came) == 1
    assert due_endpoints(now=hooked.now) == []
    assert due_endpoints(now=after(hooked, seconds=6)) == [endpoint().pk]


def test_one_that_asks_for_time_gets_it(hooked, hook):
    hook.answer = answered(429, "Retry-After: 600")
    hooked.request()
    send_all(hooked.now)
    assert endpoint().rest_until == after(hooked, seconds=600)


def test_an_inner_address_is_refused_on_each_attempt_though_it_was_allowed_when_it_was_stored(
    hooked, hook, settings
):
    settings.WEBHOOK_NETWORKS = []
    hooked.request()
    send_all(hooked.now)
    assert hook.came == []
    assert "127.0.0.1 is not a public address" in WebhookMessage.objects.get().last_error


def test_two_processes_send_each_message_once(live_world, hook):
    live_world.apply(webhook_file(hook))
    for number in range(4):
        live_world.request(reason=f"Number {number}")
    gather_webhooks(now=live_world.now)
    pk = endpoint().pk
    at_once(*[lambda: deliver_webhooks(endpoint_id=pk, now=lambda: live_world.now)] * 3)
    deliver_webhooks(endpoint_id=pk, now=lambda: live_world.now)
    assert len(hook.came) == 4
    assert len({came.headers["webhook-id"] for came in hook.came}) == 4


def test_what_a_process_died_over_goes_again(hooked, hook):
    hooked.request()
    gather_webhooks(now=hooked.now)
    WebhookEndpoint.objects.update(busy_until=hooked.now + CLAIM)
    assert send_all(hooked.now) == 0
    assert send_all(hooked.now + CLAIM) == 1


def test_a_receiver_that_hangs_delays_no_other(live_world, hook):
    """As the worker does it: each endpoint in a thread of its own."""
    world, release = live_world, threading.Event()
    with receiver() as slow:
        slow.answer = lambda _wire: happens(release)
        world.apply({**webhook_file(hook), **webhook_file(slow, name="slow")})
        for number in range(3):
            world.request(reason=f"Number {number}")
        gather_webhooks(now=world.now)
        keyed_threads = KeyedThreads(16)
        for pk in due_endpoints(now=world.now):
            assert keyed_threads.start(
                pk, lambda pk=pk: deliver_webhooks(endpoint_id=pk, now=lambda: world.now)
            )
        hook.wait_for(3)
        assert len(slow.came) <= 1
        assert not keyed_threads.start(endpoint("slow").pk, lambda: None)
        release.set()
        _settle(slow, keyed_threads)


def _settle(slow: Receiver, keyed_threads: KeyedThreads) -> None:
    """Let the keyed_threads come home before the database goes."""
    slow.answer = answered(200)
    eventually(lambda: not keyed_threads._busy)
    connection.close()


def test_no_secret_is_in_a_message_a_log_an_entry_or_a_page(hooked, hook, caplog):
    import logging

    caplog.set_level(logging.DEBUG)
    hook.answer = answered(500)
    hooked.request()
    send_all(hooked.now)
    row, message = endpoint(), WebhookMessage.objects.get()
    shown = [repr(row), str(row), message.payload, message.last_error, caplog.text]
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM audit_entry")
        shown += [body for (body,) in cursor.fetchall()]
    for text in (SECRET, SECRET.removeprefix("whsec_"), hook.url):
        assert not [place for place in shown if text in place]
    assert SECRET.encode() not in bytes(row.sealed_secret)
    assert "webhook.created" in events("chat")
