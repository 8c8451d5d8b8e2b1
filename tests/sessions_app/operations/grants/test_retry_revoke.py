"""Asking targets again that have not confirmed an end."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import EndReason, Grant, GrantState
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.grants.retry_revoke import retry_revoke
from tests.support.world.acts import events, last, undo


@pytest.fixture
def failing(world, making) -> Grant:
    grant = prepare_grant(grant_id=world.grant().pk, now=lambda: world.now)
    making.down = {"web-1"}
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=world.now)
    return undo(grant, now=world.now)


def test_the_targets_are_asked_now_and_the_record_says_who_wanted_it(world, failing, making):
    making.down = set()
    retry_revoke(grant_id=failing.pk, actor=world.bob, now=world.now)
    assert last("grant.revoke_failing", failing.ref).actor == "bob"
    assert undo(failing, now=world.now).state == GrantState.ENDED


def test_who_may_not_end_it_may_not_retry_it(world, failing):
    with pytest.raises(NotFound):
        retry_revoke(grant_id=failing.pk, actor=world.charlie, now=world.now)


def test_one_that_is_over_stays_as_it_is(world, failing, making):
    making.down = set()
    ended = undo(failing, now=failing.next_attempt_at)
    before = events()
    assert retry_revoke(grant_id=ended.pk, actor=world.bob, now=world.now).state == GrantState.ENDED
    assert events() == before
