"""What every gateway holds, whatever protocol it speaks. A door is one that passes it.

A module of tests for one gateway imports these and gives a `door`; what its protocol has no place for, it takes out and says
so. How long something may last after an end is the product's promise: two seconds.
"""

import datetime as dt
import signal
import time

import pytest

from broker.kernel import clock
from sessions_app.models import CommandRun, EndReason, GatewayNode, Grant, Session
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.identities.disable_identity import disable_identity, enable_identity
from sessions_app.operations.requests.extend_grant import extend_grant
from sessions_app.operations.sessions.decide_hold import decide_hold
from tests.support.pace import allow, assert_in_time
from tests.support.servers.gateway import deserted_at
from tests.support.waits import eventually
from tests.support.world.acts import locked, revoke

LIMIT = 2.0
# By a gateway's own clock.
AT_DEADLINE = 0.5


@pytest.fixture(autouse=True)
def nothing_is_left_over(door):
    """Grants of one test are none of the next one's business."""
    yield
    door.way.thaw()
    door.way.take()
    for pk in Grant.objects.filter(state="active").values_list("pk", flat=True):
        end_grant(grant_id=pk, actor=None, reason=EndReason.REVOKED, now=clock.now())


def seconds_over(grant) -> float:
    """How long the grant has been over by the database's clock; negative while it is not."""
    return (clock.now() - grant.expires_at).total_seconds()


def wait_until_left(grant, seconds: float) -> None:
    """Wait until a grant has no more than so many seconds left."""
    eventually(lambda: seconds_over(grant) > -seconds, within=max(1.0, -seconds_over(grant)))


def ended(door, grant) -> bool:
    """Whether its end has been proven at the target."""
    door.settle(grant)
    grant.refresh_from_db()
    return grant.state == "ended"


def states(grant) -> list[str]:
    """The states of its runs, in order."""
    return list(grant.runs.order_by("pk").values_list("state", flat=True))


def open_sessions(grant) -> int:
    return Session.objects.filter(grant=grant, closed_at__isnull=True).count()


# What is allowed, and what is not


def test_what_is_allowed_is_one_run_in_the_record(door):
    grant = door.grant()
    answer = door.once(grant)
    assert answer.done, answer.text
    eventually(lambda: grant.runs.get().state == "done")
    assert door.reached(grant) == 1


def test_what_is_not_allowed_is_recorded_and_told_with_the_nearest_that_is(door):
    grant = door.grant()
    answer = door.outside(grant)
    assert not answer.done
    assert "Nearest: " in answer.text
    eventually(lambda: grant.runs.get().state == "refused")
    assert door.reached(grant) == 0


def test_of_two_grants_one_ends_and_the_other_goes_on(door):
    one, two = door.grant(), door.grant()
    with door.lasting(one) as first, door.lasting(two) as second:
        revoke(one)
        eventually(lambda: not first.lives(), within=LIMIT)
        assert second.lives()
        assert not door.once(one).done
        assert door.once(two).done
        revoke(two)
        eventually(lambda: not second.lives(), within=LIMIT)
    eventually(lambda: ended(door, one) and ended(door, two))


# Ends


def test_a_revoke_cuts_what_is_under_way_and_says_why(door):
    grant = door.grant()
    with door.lasting(grant) as lasting:
        revoke(grant)
        eventually(lambda: not lasting.lives(), within=LIMIT)
        said = lasting.said()
        assert grant.ref in said
        assert "has ended: revoked" in said
    eventually(lambda: ended(door, grant))
    assert states(grant) == ["cut"]
    assert not door.once(grant).done


def test_a_revoke_cuts_what_is_under_way_while_others_have_the_grants_row(door):
    grant = door.grant()
    with door.lasting(grant) as lasting, locked(grant, 60):
        revoke(grant)
        eventually(lambda: not lasting.lives(), within=LIMIT)
        assert "has ended: revoked" in lasting.said()
        assert not door.once(grant).done
    eventually(lambda: ended(door, grant))


def test_the_deadline_cuts_what_is_under_way_and_says_so(door):
    grant = door.grant(duration=4)
    with door.lasting(grant) as lasting:
        eventually(lambda: not lasting.lives(), within=LIMIT - seconds_over(grant))
        assert_in_time(seconds_over(grant), most=AT_DEADLINE)
        assert "has ended: expired" in lasting.said()
    assert not door.once(grant).done
    eventually(lambda: ended(door, grant))
    assert grant.end_reason == "expired"


@pytest.mark.parametrize("by", ["revoke", "deadline"])
def test_a_client_that_reads_nothing_of_a_flood_holds_up_no_end(door, by):
    grant = door.grant(duration=4 if by == "deadline" else 3600)
    if by == "deadline":
        # A gateway gives a client that reads nothing up by itself after ten seconds.
        wait_until_left(grant, 8)
    with door.flood(grant) as flood:
        time.sleep(1)
        assert flood.lives()
        if by == "revoke":
            revoke(grant)
        left = -seconds_over(grant) if by == "deadline" else 0
        eventually(lambda: not flood.lives(), within=2 * LIMIT + left)
        eventually(lambda: not open_sessions(grant), within=LIMIT)
    eventually(lambda: ended(door, grant), within=15)


def test_an_extended_grant_can_be_used_past_its_old_deadline(door):
    grant = door.grant(duration=5)
    assert door.once(grant).done
    old = grant.expires_at
    extend_grant(
        grant_id=grant.pk, requester=grant.holder, seconds=600, reason="Not done yet", now=clock.now()
    )
    eventually(lambda: clock.now() > old + dt.timedelta(seconds=0.5), within=60)
    answer = door.once(grant)
    assert answer.done, answer.text


def test_a_disabled_holder_is_cut_and_let_in_no_more(door):
    grant, world = door.grant(), door.world
    with door.lasting(grant) as lasting:
        disable_identity(identity_id=grant.holder.pk, actor=world.admin, now=clock.now())
        eventually(lambda: not lasting.lives(), within=LIMIT)
    assert not door.once(grant).done
    enable_identity(identity_id=grant.holder.pk, actor=world.admin, now=clock.now())
    assert not door.once(grant).done
    eventually(lambda: ended(door, grant))


# What waits for a second person


@pytest.fixture
def held(door):
    """A grant, and something of it that waits."""
    grant = door.grant()
    with door.held(grant) as held:
        yield grant, held, grant.runs.get(state="held")


def decide(door, run, *, allow: bool) -> None:
    decide_hold(run_id=run.pk, actor=door.world.bob, allow=allow, now=clock.now())


def test_what_was_allowed_runs_once(door, held):
    grant, waiting, run = held
    assert door.reached(grant) == 0
    decide(door, run, allow=True)
    answer = waiting.answer()
    assert answer.done, answer.text
    eventually(lambda: grant.runs.get().state == "done")
    assert door.reached(grant) == 1


def test_what_was_denied_does_not_run_and_its_holder_learns_by_whom(door, held):
    grant, waiting, run = held
    decide(door, run, allow=False)
    answer = waiting.answer()
    assert not answer.done
    assert "Bob denied" in answer.text
    assert door.reached(grant) == 0
    assert grant.runs.get().state == "hold_denied"


def test_what_nobody_decides_lapses(door, held):
    grant, waiting, run = held
    CommandRun.objects.filter(pk=run.pk).update(hold_lapses_at=run.tried_at)
    assert not waiting.answer().done
    assert door.reached(grant) == 0


def test_the_end_of_the_grant_ends_the_wait(door, held):
    grant, waiting, _ = held
    revoke(grant)
    eventually(lambda: grant.runs.get().state == "cut", within=LIMIT)
    assert not waiting.answer().done
    assert door.reached(grant) == 0


# The database


def test_without_its_database_everything_is_dropped_after_ten_seconds_and_nobody_let_in(door):
    grant = door.grant()
    with door.lasting(grant) as lasting:
        before = door.reached(grant)
        door.way.freeze()
        door.give_up(grant, after=3)
        eventually(lambda: not lasting.lives(), within=9)
        # The last time that it was heard of may be a while before it was cut off, on a busy machine.
        heard = GatewayNode.objects.filter(stopped_at=None).latest("seen_at").seen_at
        assert 8 < (clock.now() - heard).total_seconds() < allow(12)
        assert "lost its database" in lasting.said()
    assert not door.once(grant).done
    assert door.reached(grant) == before
    door.way.thaw()
    # The grant goes on, and what was dropped is reported once the database can be told.
    eventually(lambda: door.once(grant).done, within=30, every=0.2)
    eventually(lambda: states(grant)[0] == "cut", within=30)
    assert door.reached(grant) == before + 1


def test_without_its_database_the_deadline_is_kept(door):
    grant = door.grant(duration=5)
    with door.lasting(grant) as lasting:
        wait_until_left(grant, 3)
        door.way.freeze()
        eventually(lambda: not lasting.lives(), within=LIMIT - seconds_over(grant))
        assert_in_time(seconds_over(grant), most=AT_DEADLINE)
        door.way.thaw()
    eventually(lambda: ended(door, grant), within=30)


def test_a_database_that_takes_nobody_at_the_deadline_is_told_of_the_end_when_it_is_back(door):
    grant = door.grant(duration=5)
    with door.lasting(grant) as lasting:
        # So late that the deadline comes before the ten seconds without a database are over.
        wait_until_left(grant, 6)
        door.way.refuse()
        eventually(lambda: not lasting.lives(), within=LIMIT - seconds_over(grant))
        assert open_sessions(grant)
        door.way.take()
    # The gateway goes on, so that nobody else would close it.
    eventually(lambda: not open_sessions(grant), within=30)
    eventually(lambda: ended(door, grant), within=30)
    assert grant.end_reason == "expired"


def test_what_its_client_gave_up_before_it_was_registered_never_reaches_the_target(door):
    grant = door.grant()
    with locked(grant, allow(8)):
        door.give_up(grant, after=2)
        eventually(lambda: not deserted_at(door.place.port))
    # What was on its way would be there by now.
    time.sleep(1)
    assert door.reached(grant) == 0
    revoke(grant)
    eventually(lambda: ended(door, grant), within=15)


# The gateway itself


def test_a_gateway_that_was_frozen_over_a_deadline_gives_nothing_out_and_takes_nothing_in(door):
    grant = door.grant(duration=5)
    with door.lasting(grant) as lasting:
        wait_until_left(grant, 3)
        door.send(signal.SIGSTOP)
        try:
            eventually(lambda: seconds_over(grant) > 0.5, within=LIMIT - seconds_over(grant))
        finally:
            door.send(signal.SIGCONT)
        eventually(lambda: not lasting.lives(), within=LIMIT)
        assert not door.once(grant).done
    eventually(lambda: ended(door, grant), within=30)


def test_a_gateway_that_is_killed_ends_no_grant_and_its_sessions_are_closed_once_it_is_back(door):
    grant = door.grant()
    with door.lasting(grant) as lasting:
        door.stop(signal.SIGKILL)
        try:
            eventually(lambda: not lasting.lives(), within=LIMIT)
        finally:
            door.start()
    assert door.once(grant).done
    eventually(lambda: door.settle(grant) or states(grant) == ["cut", "done"], within=30)
    revoke(grant)
    eventually(lambda: ended(door, grant), within=30)


def test_a_gateway_that_is_told_to_stop_closes_its_sessions_and_ends_no_grant(door):
    grant = door.grant()
    with door.lasting(grant) as lasting:
        began = time.monotonic()
        door.stop(signal.SIGTERM)
        try:
            assert time.monotonic() - began < allow(5)
            eventually(lambda: not lasting.lives(), within=LIMIT)
            assert not open_sessions(grant)
            assert grant.runs.get().state == "cut"
        finally:
            door.start()
    assert door.once(grant).done


def test_a_gateway_that_drains_lets_nobody_new_in_and_what_is_under_way_go_on(door):
    grant = door.grant()
    with door.lasting(grant) as lasting:
        door.drain()
        time.sleep(1)
        assert lasting.lives()
        assert open_sessions(grant)
    door.comes_back()
    assert door.once(grant).done


def test_a_gateway_that_drains_keeps_the_end_of_what_is_under_way(door):
    grant = door.grant()
    with door.lasting(grant) as lasting:
        door.drain()
        revoke(grant)
        eventually(lambda: not lasting.lives(), within=LIMIT)
    door.comes_back()
    eventually(lambda: ended(door, grant), within=30)
