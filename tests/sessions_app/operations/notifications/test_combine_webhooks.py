"""A channel of approvers is not flooded by one person."""

import json

import jsonschema
import pytest

from sessions_app.models import WebhookMessage
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from sessions_app.operations.notifications.notify_approvers import GATHERS
from sessions_app.policy.webhooks import message_schema
from tests.support.servers.receiver import webhook_file
from tests.support.world.acts import after, change, policy


@pytest.fixture(params=["policies", "everything"])
def channel(world, request):
    world.catalog |= webhook_file(None, scope=request.param, events="request.created request.denied")
    change(world, policy(world, notify={"webhooks": ["chat"]}))
    return request.param


def test_after_three_messages_of_one_person_an_endpoint_of_policies_gets_a_digest_and_one_of_everything_all(
    world, channel
):
    made = [world.request(world.alice if number % 2 else world.robot) for number in range(5)]
    gather_webhooks(now=world.now)
    made.append(world.request())
    world.decide(made[-1], verdict="deny", comment="No")
    gather_webhooks(now=after(world, minutes=1))
    sent = list(WebhookMessage.objects.order_by("pk").values_list("event", flat=True))
    if channel == "everything":
        assert sent == ["request.created"] * 6 + ["request.denied"]
        return
    assert sorted(sent) == ["approvals.digest"] + ["request.created"] * 3 + ["request.denied"]
    digest = WebhookMessage.objects.get(event="approvals.digest")
    body = json.loads(digest.payload)
    jsonschema.validate(body, message_schema())
    assert body["data"]["details"] == {"count": 3, "refs": [request.ref for request in made[3:]]}
    assert digest.next_attempt_at == world.now + GATHERS
