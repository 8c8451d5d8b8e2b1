"""Old messages."""

from sessions_app.models import WebhookMessage
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from sessions_app.operations.notifications.purge_webhooks import purge_webhooks
from tests.support.servers.receiver import webhook_file
from tests.support.world.acts import after


def test_messages_are_kept_for_thirty_days(world):
    world.apply(webhook_file(None))
    world.request()
    gather_webhooks(now=world.now)
    assert purge_webhooks(now=after(world, days=29)) == 0
    assert purge_webhooks(now=after(world, days=31)) == 1
    assert not WebhookMessage.objects.exists()
