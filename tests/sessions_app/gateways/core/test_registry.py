"""Every end reaches every user of a session; a session is reported closed once; no open row is without a
session.
"""

import asyncio
import datetime as dt

import pytest

from sessions_app.gateways.core.registry import NOT_HELD, Ended, Registry
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.renew_gateway import OpenAtGateway
from tests.support.world.holders import (
    START,
    Clock,
    Told,
    holder_of,
    metric,
    session_of,
    use_of_grant,
)

OPEN = "stint_gateway_sessions_open"
LATER = START + dt.timedelta(hours=1)


class Watching:
    """A watcher that only records its calls."""

    def __init__(self) -> None:
        self.grants: list[tuple[str, dt.datetime]] = []
        self.sessions: list[object] = []

    def watch(self, grant) -> None:
        self.grants.append((grant.ref, grant.expires_at))

    def watch_token(self, session) -> None:
        self.sessions.append(session)


class Timer:
    """A timer that only records that it was canceled."""

    canceled = False

    def cancel(self) -> None:
        self.canceled = True


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def registry(told) -> Registry:
    return Registry(told, Clock())


@pytest.fixture
def watching(registry) -> Watching:
    registry.watcher = watching = Watching()
    return watching


def closings(told) -> list[tuple[int, str]]:
    """Return the rows that were reported closed, and the reasons."""
    assert all(sent.function is close_session for sent in told.sent)
    return [(sent.arguments["session_id"], sent.arguments["reason"]) for sent in told.sent]


# Users and their messages


def test_a_grant_keeps_what_its_first_use_said_and_other_uses_of_it_share_it(registry):
    first, second = (
        session_of(registry, use_of_grant(7, finish_seconds=42)),
        session_of(registry, use_of_grant(7)),
    )
    other, grant = session_of(registry, use_of_grant(2)), registry.grants[7]
    assert (grant.id, grant.ref, grant.finish_seconds, grant.expires_at) == (7, "GR-7", 42, LATER)
    assert (grant.over, grant.sessions) == ("", {first, second})
    assert other.grant is not grant
    assert set(registry.sessions()) == {first, second, other}


def over(session) -> None:
    session.grant.over = "revoked"


@pytest.mark.parametrize(
    "end", [over, lambda session: session.close("cut")], ids=["its grant is over", "it is closing"]
)
def test_nothing_enters_a_session_that_an_end_has_reached(registry, end):
    session = session_of(registry)
    slow = holder_of(session, slow=True)
    assert session.closed is False
    end(session)
    assert session.closed is True
    with pytest.raises(Ended, match="GR-1 has ended") as ended:
        holder_of(session)
    assert session.users == {slow}
    assert (ended.value.code, ended.value.status) == ("grant_is_over", 409)
    assert ended.value.hint


def test_a_grant_that_is_over_takes_no_new_session(registry):
    session = session_of(registry)
    over(session)
    with pytest.raises(Ended, match="GR-1 has ended"):
        session_of(registry)
    assert session.grant.sessions == {session}


def test_a_grant_can_be_opened_anew_once_the_last_session_of_it_is_gone(registry):
    first = session_of(registry)
    first.grant.over = "expired"
    first.close("cut")
    again = session_of(registry)
    assert again.grant is not first.grant
    assert not again.closed


# Deadlines


def test_the_first_session_of_a_grant_arms_its_deadline_and_the_next_one_does_not_again(registry, watching):
    first, second = session_of(registry), session_of(registry)
    assert watching.grants == [("GR-1", LATER)]
    assert watching.sessions == [first, second]


@pytest.mark.parametrize("minutes", [30, 90])
def test_a_use_that_knows_another_deadline_moves_it_before_it_is_armed(registry, watching, minutes):
    session_of(registry)
    moved = START + dt.timedelta(minutes=minutes)
    session_of(registry, use_of_grant(expires_at=moved))
    assert registry.grants[1].expires_at == moved
    assert watching.grants == [("GR-1", LATER), ("GR-1", moved)]


def test_the_last_session_of_a_grant_takes_its_timers_with_it_and_no_earlier_one_does(registry):
    one, two = session_of(registry), session_of(registry)
    timer = Timer()
    one.grant.timers.append(timer)
    one.close("left")
    assert (timer.canceled, registry.grants) == (False, {1: two.grant})
    two.close("left")
    assert (timer.canceled, registry.grants, two.grant.timers) == (True, {}, [])


def test_a_closed_session_takes_the_timer_of_its_token_with_it(registry):
    session, timer = session_of(registry), Timer()
    session.timer = timer
    session.close("left")
    assert timer.canceled
    assert session.timer is None


# Ends


@pytest.mark.parametrize("cut", [False, True])
def test_at_an_end_all_are_stopped_and_those_whose_command_may_finish_only_by_a_cut(registry, told, cut):
    session = session_of(registry, row=5)
    plain, finishing = holder_of(session), holder_of(session, LATER)
    session.stop("expired", cut=cut)
    assert (plain.stopped, finishing.stopped) == ("expired", "expired" if cut else "")
    assert session.users == (set() if cut else {finishing})
    assert closings(told) == ([(5, "expired")] if cut else [])


def test_an_end_closes_a_session_that_nobody_uses(registry, told):
    session = session_of(registry, row=5)
    session.stop("expired", cut=False)
    assert closings(told) == [(5, "expired")]
    assert registry.grants == {}


def test_closing_stops_everybody_and_waits_for_those_that_are_slow(registry, told):
    session = session_of(registry, row=5)
    quick, slow, finishing = holder_of(session), holder_of(session, slow=True), holder_of(session, LATER)
    session.close("token expired")
    assert {holder.stopped for holder in (quick, slow, finishing)} == {"token expired"}
    assert (session.users, told.sent, registry.sessions()) == ({slow}, [], [session])
    session.leave(slow)
    assert closings(told) == [(5, "token expired")]
    assert registry.sessions() == []


def test_the_first_reason_stands_however_often_it_is_closed(registry, told):
    session = session_of(registry, row=5)
    slow = holder_of(session, slow=True)
    session.close("token expired")
    session.close("gateway stopped")
    assert slow.stops == 2, "it is told again"
    session.grant.over = "revoked"
    session.leave(slow)
    assert closings(told) == [(5, "token expired")]


def test_the_last_one_who_leaves_a_grant_that_is_over_closes_the_session_for_its_reason(registry, told):
    session = session_of(registry, row=5)
    one, two = holder_of(session, LATER), holder_of(session, LATER)
    session.grant.over = "expired"
    session.leave(one)
    assert told.sent == []
    session.leave(two)
    assert closings(told) == [(5, "expired")]


def test_leaving_a_session_that_nothing_ended_keeps_it_open(registry, told):
    session = session_of(registry, row=5)
    holder = holder_of(session)
    session.leave(holder)
    session.leave(holder)
    assert (session.users, session.closed, told.sent) == (set(), False, [])
    holder_of(session)


def test_a_session_is_reported_closed_once(registry, told):
    before = metric(OPEN)
    session = session_of(registry, row=5)
    session.close("left")
    session.close("left")
    session.stop("revoked", cut=True)
    session.leave(object())
    assert closings(told) == [(5, "left")]
    assert metric(OPEN) == before


def test_a_report_is_on_the_sessions_own_chain_with_the_time_and_with_plain_words_instead(registry, told):
    session = session_of(registry, row=5)
    registry.clock.jump(12)
    session.close("it said so")
    (sent,) = told.sent
    assert sent.chain is session
    assert sent.arguments == {
        "session_id": 5,
        "reason": "it said so",
        "now": START + dt.timedelta(seconds=12),
    }
    assert sent.plain == {"reason": "closed"}


def test_a_session_without_a_row_ends_without_a_report(registry, told):
    before = metric(OPEN)
    session = session_of(registry)
    session.close("it did not begin")
    assert (told.sent, registry.grants, metric(OPEN)) == ([], {}, before)


# Rows


def test_a_second_row_of_a_session_is_closed_at_once_and_the_first_stays(registry, told):
    session = session_of(registry, row=5)
    session.opened(5)
    session.opened(6)
    assert (session.id, session.closed) == (5, False)
    ((closed, reason),) = closings(told)
    assert closed == 6
    assert "late" in reason


def test_a_row_that_came_after_the_end_is_closed_at_once(registry, told):
    before = metric(OPEN)
    session = session_of(registry)
    session.close("it did not begin")
    session.opened(5)
    ((closed, reason),) = closings(told)
    assert closed == 5
    assert "late" in reason
    assert (session.id, metric(OPEN)) == (None, before)


def row(session_id: int, grant_id: int = 1) -> OpenAtGateway:
    return OpenAtGateway(session_id, grant_id, "key")


def test_rows_that_nobody_holds_are_closed(registry, told):
    held = session_of(registry, row=5)
    registry.clock.jump(3)
    registry.compare([held], [row(5), row(6), row(7, 2)])
    assert closings(told) == [(6, NOT_HELD), (7, NOT_HELD)]
    assert [(sent.chain, sent.plain) for sent in told.sent] == [(6, {}), (7, {})]
    assert {sent.arguments["now"] for sent in told.sent} == {START + dt.timedelta(seconds=3)}


def test_a_row_whose_end_is_being_reported_is_not_reported_again(registry, told):
    ending = session_of(registry, row=5)
    ending.close("left")
    told.sent.clear()
    told.waiting = {ending: None, 6: None, "other": None}
    registry.compare([], [row(5), row(6), row(7)])
    assert closings(told) == [(7, NOT_HELD)]


async def test_rows_of_a_grant_wait_while_a_session_of_it_is_being_registered(registry, told):
    session = session_of(registry, use_of_grant(3))
    work, other = asyncio.Future(), asyncio.Future()
    session.registering(work)
    session_of(registry, use_of_grant(4)).registering(other)
    assert registry.registering == {work: 3, other: 4}
    registry.compare([], [row(8, 3), row(9, 5)])
    assert closings(told) == [(9, NOT_HELD)]
    session.registered(work)
    session.registered(work)
    assert registry.registering == {other: 4}
    registry.compare([], [row(8, 3)])
    assert closings(told)[1:] == [(8, NOT_HELD)]


# All at once


def test_everything_is_cut_at_once_and_counted(registry, told):
    assert registry.stop_all("the gateway is stopping") == 0
    holders = [holder_of(session_of(registry, use_of_grant(n % 2), row=n), LATER) for n in range(3)]
    assert registry.stop_all("the gateway is stopping") == 3
    assert {holder.stopped for holder in holders} == {"the gateway is stopping"}
    assert sorted(closings(told)) == [(n, "the gateway is stopping") for n in range(3)]
