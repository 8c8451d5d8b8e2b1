"""Stopping what is sent to an endpoint."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.operations.notifications.pause_webhook import pause_webhook
from tests.support.servers.receiver import endpoint, send_all, webhook_file
from tests.support.world.acts import last


def test_nothing_goes_to_a_paused_endpoint_and_what_happens_waits(world, hook):
    world.apply(webhook_file(hook))
    pause_webhook(endpoint_id=endpoint().pk, actor=world.admin, now=world.now)
    world.request()
    assert (send_all(world.now), hook.came) == (0, [])
    assert endpoint().messages.filter(state="pending").count() == 1
    assert last("webhook.paused", "chat").actor == "admin"


def test_its_owners_may_and_to_all_others_it_is_not_there(world):
    world.apply(webhook_file(None, owners={"groups": ["approvers"]}))
    for other in (world.alice, world.charlie, world.robot):
        with pytest.raises(NotFound):
            pause_webhook(endpoint_id=endpoint().pk, actor=other, now=world.now)
    assert pause_webhook(endpoint_id=endpoint().pk, actor=world.bob, now=world.now).paused_at == world.now
