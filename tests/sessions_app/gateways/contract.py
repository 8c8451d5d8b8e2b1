"""The contract of every gateway, whatever its protocol.

A test module for one gateway imports these tests and provides an `endpoint`. It removes those that its
protocol can't support, with the reason. The product promises that nothing lasts longer than two seconds after
an end.
"""

import datetime as dt
import signal
import time

import pytest

from broker.kernel import clock
from sessions_app.models import CommandRun, EndReason, GatewayNode, Grant, Session
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.release_grant import release_grant
from sessions_app.operations.grants.suspend_grant import suspend_grant
from sessions_app.operations.identities.disable_identity import disable_identity, enable_identity
from sessions_app.operations.requests.decide_request import AlreadyDecided
from sessions_app.operations.requests.extend_grant import extend_grant
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.stop_gateway import LOST_AFTER, stop_lost_gateways
from tests.support.pace import allow, assert_in_time
from tests.support.servers.gateway import deserted_at
from tests.support.waits import eventually
from tests.support.world.acts import locked, revoke

LIMIT = 2.0
# By a gateway's own clock.
AT_DEADLINE = 0.5


@pytest.fixture(autouse=True)
def nothing_is_left_over(endpoint):
    """End a test's grants, so that they don't affect the next test."""
    yield
    endpoint.way.thaw()
    endpoint.way.take()
    for pk in Grant.objects.filter(state="active").values_list("pk", flat=True):
        end_grant(grant_id=pk, actor=None, reason=EndReason.REVOKED, now=clock.now())


def seconds_over(grant) -> float:
    """Return the seconds since the grant ended by the database's clock; negative while it is active."""
    return (clock.now() - grant.expires_at).total_seconds()


def wait_until_left(grant, seconds: float) -> None:
    """Wait until a grant has at most this many seconds left."""
    eventually(lambda: seconds_over(grant) > -seconds, within=max(1.0, -seconds_over(grant)))


def ended(endpoint, grant) -> bool:
    """Whether its revocation has been confirmed at the target."""
    endpoint.settle(grant)
    grant.refresh_from_db()
    return grant.state == "ended"


def states(grant) -> list[str]:
    """Return the states of its runs, in order."""
    return list(grant.runs.order_by("pk").values_list("state", flat=True))


def open_sessions(grant) -> int:
    return Session.objects.filter(grant=grant, closed_at__isnull=True).count()


# Allowed and refused attempts


def test_what_is_allowed_is_one_run_in_the_record(endpoint):
    grant = endpoint.grant()
    answer = endpoint.once(grant)
    assert answer.done, answer.text
    eventually(lambda: grant.runs.get().state == "done")
    assert endpoint.reached(grant) == 1


def test_what_is_not_allowed_is_recorded_and_told_with_the_nearest_that_is(endpoint):
    grant = endpoint.grant()
    answer = endpoint.outside(grant)
    assert not answer.done
    assert "Nearest: " in answer.text
    eventually(lambda: grant.runs.get().state == "refused")
    assert endpoint.reached(grant) == 0


def test_of_two_grants_one_ends_and_the_other_goes_on(endpoint):
    one, two = endpoint.grant(), endpoint.grant()
    with endpoint.lasting(one) as first, endpoint.lasting(two) as second:
        revoke(one)
        eventually(lambda: not first.lives(), within=LIMIT)
        assert second.lives()
        assert not endpoint.once(one).done
        assert endpoint.once(two).done
        revoke(two)
        eventually(lambda: not second.lives(), within=LIMIT)
    eventually(lambda: ended(endpoint, one) and ended(endpoint, two))


# Ends


def test_a_revoke_cuts_what_is_under_way_and_says_why(endpoint):
    grant = endpoint.grant()
    with endpoint.lasting(grant) as lasting:
        revoke(grant)
        eventually(lambda: not lasting.lives(), within=LIMIT)
        said = lasting.said()
        assert grant.ref in said
        assert "has ended: revoked" in said
    eventually(lambda: ended(endpoint, grant))
    assert states(grant) == ["cut"]
    assert not endpoint.once(grant).done


def test_a_revoke_cuts_what_is_under_way_while_others_have_the_grants_row(endpoint):
    grant = endpoint.grant()
    with endpoint.lasting(grant) as lasting, locked(grant, 60):
        revoke(grant)
        eventually(lambda: not lasting.lives(), within=LIMIT)
        assert "has ended: revoked" in lasting.said()
        assert not endpoint.once(grant).done
    eventually(lambda: ended(endpoint, grant))


def test_the_deadline_cuts_what_is_under_way_and_says_so(endpoint):
    grant = endpoint.grant(duration=4)
    with endpoint.lasting(grant) as lasting:
        eventually(lambda: not lasting.lives(), within=LIMIT - seconds_over(grant))
        assert_in_time(seconds_over(grant), most=AT_DEADLINE)
        assert "has ended: expired" in lasting.said()
    assert not endpoint.once(grant).done
    eventually(lambda: ended(endpoint, grant))
    assert grant.end_reason == "expired"


@pytest.mark.parametrize("by", ["revoke", "deadline"])
def test_a_client_that_reads_nothing_of_a_flood_holds_up_no_end(endpoint, by):
    grant = endpoint.grant(duration=4 if by == "deadline" else 3600)
    if by == "deadline":
        # A gateway drops a client that reads nothing after ten seconds by itself.
        wait_until_left(grant, 8)
    with endpoint.flood(grant) as flood:
        time.sleep(1)
        assert flood.lives()
        if by == "revoke":
            revoke(grant)
        left = -seconds_over(grant) if by == "deadline" else 0
        eventually(lambda: not flood.lives(), within=2 * LIMIT + left)
        eventually(lambda: not open_sessions(grant), within=LIMIT)
    eventually(lambda: ended(endpoint, grant), within=15)


def test_an_extended_grant_can_be_used_past_its_old_deadline(endpoint):
    grant = endpoint.grant(duration=5)
    assert endpoint.once(grant).done
    old = grant.expires_at
    extend_grant(
        grant_id=grant.pk, requester=grant.holder, seconds=600, reason="Not done yet", now=clock.now()
    )
    eventually(lambda: clock.now() > old + dt.timedelta(seconds=0.5), within=60)
    answer = endpoint.once(grant)
    assert answer.done, answer.text


def test_a_disabled_holder_is_cut_and_let_in_no_more(endpoint):
    grant, world = endpoint.grant(), endpoint.world
    with endpoint.lasting(grant) as lasting:
        disable_identity(identity_id=grant.holder.pk, actor=world.admin, now=clock.now())
        eventually(lambda: not lasting.lives(), within=LIMIT)
    assert not endpoint.once(grant).done
    enable_identity(identity_id=grant.holder.pk, actor=world.admin, now=clock.now())
    assert not endpoint.once(grant).done
    eventually(lambda: ended(endpoint, grant))


# Suspension


def test_a_suspended_grant_begins_nothing_until_it_is_resumed_and_what_runs_goes_on(endpoint):
    grant, bob = endpoint.grant(), endpoint.world.bob
    with endpoint.lasting(grant) as lasting:
        suspend_grant(grant_id=grant.pk, actor=bob, note="Wrong host", now=clock.now())
        before = endpoint.reached(grant)
        answer = endpoint.once(grant)
        assert not answer.done
        assert "was suspended by Bob: Wrong host" in answer.text
        assert endpoint.reached(grant) == before
        assert lasting.lives()
        release_grant(grant_id=grant.pk, actor=bob, now=clock.now())
        assert endpoint.once(grant).done


# Held attempts


@pytest.fixture
def held(endpoint):
    """A grant, and a held attempt under it."""
    grant = endpoint.grant()
    with endpoint.held(grant) as held:
        yield grant, held, grant.runs.get(state="held")


def decide(endpoint, run, *, allow: bool) -> None:
    decide_hold(run_id=run.pk, actor=endpoint.world.bob, allow=allow, now=clock.now())


def test_what_was_allowed_runs_once(endpoint, held):
    grant, waiting, run = held
    assert endpoint.reached(grant) == 0
    decide(endpoint, run, allow=True)
    answer = waiting.answer()
    assert answer.done, answer.text
    eventually(lambda: grant.runs.get().state == "done")
    assert endpoint.reached(grant) == 1


def test_what_was_denied_does_not_run_and_its_holder_learns_by_whom(endpoint, held):
    grant, waiting, run = held
    decide(endpoint, run, allow=False)
    answer = waiting.answer()
    assert not answer.done
    assert "Bob denied" in answer.text
    assert endpoint.reached(grant) == 0
    assert grant.runs.get().state == "hold_denied"


def test_what_nobody_decides_lapses(endpoint, held):
    grant, waiting, run = held
    CommandRun.objects.filter(pk=run.pk).update(hold_lapses_at=run.tried_at)
    assert not waiting.answer().done
    assert endpoint.reached(grant) == 0


def test_the_end_of_the_grant_ends_the_wait(endpoint, held):
    grant, waiting, _ = held
    revoke(grant)
    eventually(lambda: grant.runs.get().state == "cut", within=LIMIT)
    assert not waiting.answer().done
    assert endpoint.reached(grant) == 0


# The database


def test_without_its_database_everything_is_dropped_after_ten_seconds_and_nobody_let_in(endpoint):
    grant = endpoint.grant()
    with endpoint.lasting(grant) as lasting:
        before = endpoint.reached(grant)
        endpoint.way.freeze()
        endpoint.give_up(grant, after=3)
        eventually(lambda: not lasting.lives(), within=9)
        # On a busy machine, the last renewal may be a while before the database was cut off.
        heard = GatewayNode.objects.filter(stopped_at=None).latest("seen_at").seen_at
        assert 8 < (clock.now() - heard).total_seconds() < allow(12)
        assert "lost its database" in lasting.said()
    assert not endpoint.once(grant).done
    assert endpoint.reached(grant) == before
    endpoint.way.thaw()
    # The grant continues, and what was dropped is reported once the database is back.
    eventually(lambda: endpoint.once(grant).done, within=30, every=0.2)
    eventually(lambda: states(grant)[0] == "cut", within=30)
    assert endpoint.reached(grant) == before + 1


def test_without_its_database_the_deadline_is_kept(endpoint):
    grant = endpoint.grant(duration=5)
    with endpoint.lasting(grant) as lasting:
        wait_until_left(grant, 3)
        endpoint.way.freeze()
        eventually(lambda: not lasting.lives(), within=LIMIT - seconds_over(grant))
        assert_in_time(seconds_over(grant), most=AT_DEADLINE)
        endpoint.way.thaw()
    eventually(lambda: ended(endpoint, grant), within=30)


def test_a_database_that_takes_nobody_at_the_deadline_is_told_of_the_end_when_it_is_back(endpoint):
    grant = endpoint.grant(duration=5)
    with endpoint.lasting(grant) as lasting:
        # The deadline comes before the ten seconds without a database have passed.
        wait_until_left(grant, 6)
        endpoint.way.refuse()
        eventually(lambda: not lasting.lives(), within=LIMIT - seconds_over(grant))
        assert open_sessions(grant)
        endpoint.way.take()
    # The gateway continues, so that nothing else would close the session.
    eventually(lambda: not open_sessions(grant), within=30)
    eventually(lambda: ended(endpoint, grant), within=30)
    assert grant.end_reason == "expired"


def test_what_its_client_gave_up_before_it_was_registered_never_reaches_the_target(endpoint):
    grant = endpoint.grant()
    with locked(grant, allow(8)):
        endpoint.give_up(grant, after=2)
        eventually(lambda: not deserted_at(endpoint.place.port))
    # Anything in transit would have arrived by now.
    time.sleep(1)
    assert endpoint.reached(grant) == 0
    revoke(grant)
    eventually(lambda: ended(endpoint, grant), within=15)


# The gateway itself


def test_a_gateway_that_was_frozen_over_a_deadline_gives_nothing_out_and_takes_nothing_in(endpoint):
    grant = endpoint.grant(duration=5)
    with endpoint.lasting(grant) as lasting:
        wait_until_left(grant, 3)
        endpoint.send(signal.SIGSTOP)
        try:
            eventually(lambda: seconds_over(grant) > 0.5, within=LIMIT - seconds_over(grant))
        finally:
            endpoint.send(signal.SIGCONT)
        eventually(lambda: not lasting.lives(), within=LIMIT)
        assert not endpoint.once(grant).done
    eventually(lambda: ended(endpoint, grant), within=30)


def test_a_gateway_that_is_killed_ends_no_grant_and_its_sessions_are_closed_once_it_is_back(endpoint):
    grant = endpoint.grant()
    with endpoint.lasting(grant) as lasting:
        endpoint.stop(signal.SIGKILL)
        try:
            eventually(lambda: not lasting.lives(), within=LIMIT)
        finally:
            endpoint.start()
    assert endpoint.once(grant).done
    eventually(lambda: endpoint.settle(grant) or states(grant) == ["cut", "done"], within=30)
    revoke(grant)
    eventually(lambda: ended(endpoint, grant), within=30)


def test_what_waits_at_a_gateway_that_is_killed_can_not_be_allowed_any_more(endpoint, held):
    grant, _, run = held
    endpoint.stop(signal.SIGKILL)
    try:
        # As a sweep does twelve seconds later.
        stop_lost_gateways(now=clock.now() + LOST_AFTER)
        run.refresh_from_db()
        assert (run.state, run.reason) == ("cut", "gateway lost")
        with pytest.raises(AlreadyDecided, match="no longer waiting: gateway lost"):
            decide(endpoint, run, allow=True)
        assert endpoint.reached(grant) == 0
    finally:
        endpoint.start()


def test_a_gateway_that_is_told_to_stop_closes_its_sessions_and_ends_no_grant(endpoint):
    grant = endpoint.grant()
    with endpoint.lasting(grant) as lasting:
        began = time.monotonic()
        endpoint.stop(signal.SIGTERM)
        try:
            assert time.monotonic() - began < allow(5)
            eventually(lambda: not lasting.lives(), within=LIMIT)
            assert not open_sessions(grant)
            assert grant.runs.get().state == "cut"
        finally:
            endpoint.start()
    assert endpoint.once(grant).done


def test_a_gateway_that_drains_lets_nobody_new_in_and_what_is_under_way_go_on(endpoint):
    grant = endpoint.grant()
    with endpoint.lasting(grant) as lasting:
        endpoint.drain()
        time.sleep(1)
        assert lasting.lives()
        assert open_sessions(grant)
    endpoint.comes_back()
    assert endpoint.once(grant).done


def test_a_gateway_that_drains_keeps_the_end_of_what_is_under_way(endpoint):
    grant = endpoint.grant()
    with endpoint.lasting(grant) as lasting:
        endpoint.drain()
        revoke(grant)
        eventually(lambda: not lasting.lives(), within=LIMIT)
    endpoint.comes_back()
    eventually(lambda: ended(endpoint, grant), within=30)
