"""Sending again."""

import pytest

from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import WebhookMessage
from sessions_app.operations.notifications.replay_webhooks import replay_webhooks
from tests.support.servers.receiver import endpoint, send_all, webhook_file
from tests.support.world.acts import after, last


def test_one_message_goes_again_with_its_id(world, hook):
    world.apply(webhook_file(hook))
    world.request()
    send_all(world.now)
    message = WebhookMessage.objects.get()
    again = {"endpoint_id": endpoint().pk, "actor": world.admin, "now": after(world, minutes=1)}
    assert replay_webhooks(**again, message_id=message.pk) == 1
    send_all(after(world, minutes=1))
    first, second = hook.came
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == message.key
    assert last("webhook.replayed", "chat").data["count"] == 1


def test_everything_since_a_time_goes_again_also_what_was_before_the_endpoint(world, hook):
    before = world.request(reason="Before")
    world.apply(webhook_file(hook))
    world.request(reason="After")
    send_all(world.now)
    assert len(hook.came) == 1
    count = replay_webhooks(
        endpoint_id=endpoint().pk, actor=world.admin, now=world.now, since=after(world, hours=-1)
    )
    assert count == 2
    send_all(world.now)
    assert len(hook.came) == 3
    assert before.ref in {came.json["data"]["request"] for came in hook.came}


def test_too_far_back_ahead_nothing_and_both_are_refused(world):
    world.apply(webhook_file(None))
    common = {"endpoint_id": endpoint().pk, "actor": world.admin, "now": world.now}
    for wrong in (
        {"since": after(world, days=-31)},
        {"since": after(world, days=1)},
        {},
        {"since": world.now, "message_id": 1},
    ):
        with pytest.raises(InvalidInput):
            replay_webhooks(**common, **wrong)


def test_messages_of_other_endpoints_are_not_there(world, hook):
    world.apply({**webhook_file(hook), **webhook_file(hook, name="other", owners={"identities": ["bob"]})})
    world.request()
    send_all(world.now)
    message = endpoint().messages.get()
    with pytest.raises(NotFound):
        replay_webhooks(
            endpoint_id=endpoint("other").pk, actor=world.bob, now=world.now, message_id=message.pk
        )
    with pytest.raises(NotFound):
        replay_webhooks(endpoint_id=endpoint().pk, actor=world.bob, now=world.now, message_id=message.pk)
