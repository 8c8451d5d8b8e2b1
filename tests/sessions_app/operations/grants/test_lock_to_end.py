"""Locking grants that are about to end, and what was delegated from them."""

from django.db import transaction

from sessions_app.models import EndReason
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.lock_to_end import AT_ONCE, lock_to_end
from tests.sessions_app.operations.grants.test_lock_descendants import tree
from tests.support.world.acts import locked, undo


def locked_with(*grants, **more) -> set[int]:
    with transaction.atomic():
        return lock_to_end(grant_ids=[grant.pk for grant in grants], **more)


def test_all_below_a_grant_is_locked_with_it_unless_it_is_over(world):
    first, middle, last = tree(world)
    assert locked_with(first) == {first.pk, middle.pk, last.pk}
    assert locked_with(middle, first) == {first.pk, middle.pk, last.pk}
    assert locked_with() == set()
    end_grant(grant_id=last.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    undo(last, now=world.now)
    assert locked_with(first) == {first.pk, middle.pk}


def test_what_others_have_is_left_out_with_all_below_it(live_world, owner_connection):
    first, middle, last = tree(live_world)
    with locked(middle, 60), transaction.atomic():
        assert lock_to_end(grant_ids=[first.pk, last.pk], patience=AT_ONCE) == {first.pk, last.pk}
        assert lock_to_end(grant_ids=[first.pk]) == {first.pk}
        free = owner_connection.execute("SELECT id FROM sessions_app_grant FOR UPDATE SKIP LOCKED").fetchall()
        assert free == []
