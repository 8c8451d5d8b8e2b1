"""An endpoint for webhooks, as its document says."""

from __future__ import annotations

from broker.audit.queries import last_number
from sessions_app.models import WebhookEndpoint
from tests.support.receiver import webhook_file


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
