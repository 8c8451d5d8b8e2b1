"""A test message."""

import jsonschema
import pytest

from broker.kernel.errors import NotFound
from sessions_app.operations.notifications.try_webhook import try_webhook
from sessions_app.policy.webhooks import message_schema
from tests.support.servers.receiver import SECRET, endpoint, send_all, webhook_file
from tests.support.world.acts import last


def test_a_test_goes_out_signed_and_in_the_published_form(world, hook):
    world.apply(webhook_file(hook))
    sent = try_webhook(endpoint_id=endpoint().pk, actor=world.admin, now=world.now)
    assert send_all(world.now) == 1
    (came,) = hook.came
    assert (came.is_signed_by(SECRET), came.json["type"]) == (True, "webhook.test")
    jsonschema.validate(came.json, message_schema())
    assert last("webhook.tested", "chat").data == {"message": sent.key}


def test_others_send_none(world):
    world.apply(webhook_file(None))
    with pytest.raises(NotFound):
        try_webhook(endpoint_id=endpoint().pk, actor=world.bob, now=world.now)
