"""Old notifications."""

import pytest

from broker.audit.events import Event
from sessions_app.models import Notice
from sessions_app.operations.notifications import purge_notices as module
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.notifications.purge_notices import purge_notices
from tests.support.world.acts import after


def test_notifications_are_kept_as_long_as_the_setting_says_unless_they_are_still_to_be_mailed(
    world, settings
):
    world.request()
    mailed = Notice.objects.first()
    Notice.objects.update(created_at=world.now)
    Notice.objects.filter(pk=mailed.pk).update(mailed_at=world.now)
    assert purge_notices(now=after(world, days=364)) == 0
    settings.NOTICES_DAYS = 0
    assert purge_notices(now=after(world, days=4000)) == 0
    settings.NOTICES_DAYS = 365
    kept = Notice.objects.to_mail().count()
    assert purge_notices(now=after(world, days=366)) == 1
    assert Notice.objects.count() == kept > 0


@pytest.mark.parametrize(("rounds", "deleted"), [(2, 2), (20, 3)])
def test_one_run_deletes_batch_after_batch_up_to_a_limit(world, monkeypatch, rounds, deleted):
    monkeypatch.setattr(module, "BATCH", 1)
    monkeypatch.setattr(module, "ROUNDS", rounds)
    Notice.objects.all().delete()
    notify(people=[world.alice], event=Event.GRANT_ENDED, subject="x", body="x", path="/", now=world.now)
    old = Notice.objects.get()
    for _ in range(2):
        old.pk = None
        old.save(force_insert=True)
    Notice.objects.update(mailed_at=world.now)
    assert purge_notices(now=after(world, days=366)) == deleted
