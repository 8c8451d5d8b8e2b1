"""Old notifications."""

from sessions_app.models import Notice
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
