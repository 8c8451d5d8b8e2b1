"""Marking notices as read."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import Notice
from sessions_app.operations.notifications.read_notice import read_notice
from tests.support.world.acts import after, fresh


def test_the_first_reading_counts(world):
    world.request()
    notice = Notice.objects.get(identity=world.bob)
    read_notice(notice_id=notice.pk, actor=world.bob, now=world.now)
    assert read_notice(notice_id=notice.pk, actor=world.bob, now=after(world, hours=1)).read_at == world.now


def test_others_notices_are_answered_like_those_that_are_not_there(world):
    world.request()
    notice = Notice.objects.get(identity=world.bob)
    for pk, actor in ((notice.pk, world.alice), (notice.pk, world.admin), (0, world.bob)):
        with pytest.raises(NotFound):
            read_notice(notice_id=pk, actor=actor, now=world.now)
    assert fresh(notice).read_at is None
