"""A use begins."""

import pytest

from accounts.models import SSHPublicKey
from sessions_app.models import EndReason, Session
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from tests.support.world.acts import Started, at_once, fresh, last, session, use, wait_for_waiters


def test_a_session_is_registered_with_where_it_came_from_and_what_proved_it(world):
    grant = world.grant()
    opened = Session.objects.get(pk=session(use(grant, now=world.now), now=world.now))
    assert (opened.grant, opened.opened_at, opened.closed_at) == (grant, world.now, None)
    entry = last("session.opened", grant.ref)
    assert entry.actor == "alice"
    assert entry.data == {"session": opened.pk, "target": "web-1", "from": "192.0.2.1", "proof": "SHA256:key"}


def test_the_key_that_opened_it_was_used_now(world):
    key = SSHPublicKey.objects.create(
        identity=world.alice, algorithm="ssh-ed25519", public_key="x", fingerprint="SHA256:key"
    )
    session(use(world.grant(), now=world.now), now=world.now)
    assert fresh(key).last_used_at == world.now


def test_between_the_answer_and_the_session_the_grant_may_have_ended(world):
    grant = world.grant()
    used = use(grant, now=world.now)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(GrantIsOver):
        session(used, now=world.now)
    assert not Session.objects.exists()


def test_at_the_deadline_no_session_opens_whatever_the_state_says(world):
    grant = world.grant()
    used = use(grant, now=world.now)
    with pytest.raises(GrantIsOver):
        session(used, now=grant.expires_at)


def test_a_session_and_a_revoke_at_once_leave_no_session_that_the_end_does_not_see(live_world):
    for _ in range(6):
        grant = live_world.grant()
        used = use(grant, now=live_world.now)
        opened, ended = at_once(
            lambda used=used: session(used, now=live_world.now),
            lambda grant=grant: end_grant(
                grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=live_world.now
            ),
        )
        assert ended.state == "revoking"
        assert isinstance(opened, GrantIsOver) or Session.objects.filter(pk=opened, grant=grant).exists()


def test_two_sessions_of_one_holder_in_two_grants_do_not_wait_for_each_other(live_world, owner_connection):
    uses = [use(live_world.grant(), now=live_world.now) for _ in range(2)]
    session(uses[0], now=live_world.now)
    with owner_connection.transaction():
        owner_connection.execute(
            "SELECT FROM sessions_app_grant WHERE id = %s FOR UPDATE", [uses[0].grant_id]
        )
        stuck = Started(lambda: session(uses[0], now=live_world.now))
        wait_for_waiters(owner_connection, 1)
        assert session(uses[1], now=live_world.now)
    assert not isinstance(stuck.result(), Exception)
