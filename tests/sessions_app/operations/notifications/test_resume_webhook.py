"""Sending to an endpoint again."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.operations.notifications.pause_webhook import pause_webhook
from sessions_app.operations.notifications.resume_webhook import NotPaused, resume_webhook
from tests.support.servers.receiver import endpoint, send_all, webhook_file
from tests.support.world.acts import after, last


def test_all_that_waited_goes_in_order(world, hook):
    world.apply(webhook_file(hook))
    pause_webhook(endpoint_id=endpoint().pk, actor=world.admin, now=world.now)
    refs = [world.request(reason=f"Number {number}").ref for number in range(3)]
    assert send_all(world.now) == 0
    resume_webhook(endpoint_id=endpoint().pk, actor=world.admin, now=after(world, hours=1))
    assert send_all(after(world, hours=1)) == 3
    assert [came.json["data"]["request"] for came in hook.came] == refs
    assert last("webhook.resumed", "chat").data == {"waiting": 3}


def test_what_is_not_paused_can_not_be_resumed_nor_by_others(world):
    world.apply(webhook_file(None))
    with pytest.raises(NotPaused):
        resume_webhook(endpoint_id=endpoint().pk, actor=world.admin, now=world.now)
    pause_webhook(endpoint_id=endpoint().pk, actor=world.admin, now=world.now)
    with pytest.raises(NotFound):
        resume_webhook(endpoint_id=endpoint().pk, actor=world.bob, now=world.now)
