"""An endpoint for webhooks, as its document says."""

from broker.audit.queries import last_number
from sessions_app.models import WebhookEndpoint, WebhookMessage
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from tests.support.servers.receiver import endpoint, receiver, send_all, webhook_file


def test_a_new_webhook_is_told_of_what_happens_from_then_on_and_so_is_one_that_comes_back(world):
    files = webhook_file(None)
    world.request()
    world.apply(files)
    first = WebhookEndpoint.objects.get()
    # Its own making and that of the whole change are all that came after.
    assert last_number() - first.after == 2
    WebhookEndpoint.objects.update(
        failures=3, failing_since=world.now, paused_at=world.now, pause_reason="It fails."
    )
    world.apply(prune=True)
    world.request(reason="Another")
    world.apply(files)
    back = WebhookEndpoint.objects.get()
    assert (back.pk, back.removed_at, back.paused_at, back.failures, back.pause_reason) == (
        first.pk,
        None,
        None,
        0,
        "",
    )
    assert last_number() - back.after == 2


def test_one_that_comes_back_gets_and_shows_nothing_that_was_for_the_one_before(world, settings):
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    with receiver() as old, receiver() as new:
        world.apply(webhook_file(old))
        world.request()
        assert send_all(world.now) == 1
        world.request(reason="Another")
        gather_webhooks(now=world.now)
        world.apply(prune=True)
        assert not WebhookMessage.objects.exists()
        world.apply(webhook_file(new, owners={"groups": ["operators"]}))
        assert endpoint().sent_at is None
        assert send_all(world.now) == 0
        assert new.came == []
        world.request(reason="A third")
        assert send_all(world.now) == 1
