"""Marking all notices as read."""

from sessions_app.models import Notice
from sessions_app.operations.notifications.read_all_notices import read_all_notices


def notice(person) -> Notice:
    return Notice.objects.create(identity=person, event="x", subject="Something", path="/")


def test_all_own_notices_that_were_shown_are_read_and_no_others(world):
    first, second, later, other = (
        notice(world.alice),
        notice(world.alice),
        notice(world.alice),
        notice(world.bob),
    )
    assert read_all_notices(newest=second.pk, actor=world.alice, now=world.now) == 2
    read = set(Notice.objects.filter(read_at=world.now).values_list("pk", flat=True))
    assert read == {first.pk, second.pk}
    assert not {later.pk, other.pk} & read
    assert read_all_notices(newest=second.pk, actor=world.alice, now=world.now) == 0
