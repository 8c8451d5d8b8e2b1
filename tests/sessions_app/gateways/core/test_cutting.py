"""Deadlines, warnings and extensions, in a loop and with a clock that the test controls."""

import datetime as dt

import pytest

from sessions_app.gateways.core.registry import Ended
from sessions_app.queries.grants.current import TIME_OVER
from sessions_app.queries.grants.tokens import RAN_OUT, REPLACED, UNKNOWN, TokenNow
from tests.support.world.holders import holder_of, metric, passes, play, session_of, settle

CUT = "stint_gateway_cut_seconds"


def span(seconds: float) -> dt.timedelta:
    return dt.timedelta(seconds=seconds)


def cuts(cause: str) -> tuple[float, float]:
    """Return the number of cuts with this cause, and the total of their seconds."""
    return metric(f"{CUT}_count", cause=cause), metric(f"{CUT}_sum", cause=cause)


# Deadlines


def test_at_the_deadline_everything_is_stopped_without_any_message():
    async def scenario(scene):
        holder = scene.holder(scene.use(60))
        await passes(59.99)
        assert not holder.stopped
        await passes(0.01)
        assert holder.stopped == "expired"
        assert scene.registry.grants == {}

    play(scenario)


def test_a_grant_whose_deadline_has_passed_is_over_at_once():
    async def scenario(scene):
        holder = scene.holder(scene.use(-5))
        await settle()
        assert holder.stopped == "expired"

    play(scenario)


def test_a_clock_that_was_set_back_does_not_end_a_grant_early():
    async def scenario(scene):
        holder = scene.holder(scene.use(60))
        scene.clock.jump(-0.2)
        await passes(60)
        assert not holder.stopped
        await passes(0.21)
        assert holder.stopped

    play(scenario)


def test_how_late_a_deadline_was_kept_is_measured_and_early_counts_as_in_time():
    async def scenario(scene):
        count, total = cuts("deadline")
        scene.holder(scene.use(60))
        await passes(60.5)
        assert cuts("deadline") == (count + 1, pytest.approx(total + 0.5))
        scene.holder(scene.use(60, 2))
        scene.clock.jump(-0.0009)
        await passes(60)
        assert cuts("deadline") == (count + 2, pytest.approx(total + 0.5))

    play(scenario)


def test_how_late_a_revoke_was_heard_is_measured_once():
    async def scenario(scene):
        count, total = cuts("revoke")
        use = scene.use(60)
        scene.holder(use)
        over = scene.now(
            use, live=False, cut=True, end_reason="revoked", over_at=scene.clock.now() - span(0.25)
        )
        for _ in range(2):
            scene.enders.apply([1], over)
        assert cuts("revoke") == (count + 1, pytest.approx(total + 0.25))

    play(scenario)


# Commands that may finish


def test_what_may_finish_is_told_and_stopped_at_its_own_limit():
    async def scenario(scene):
        use = scene.use(60)
        holder = scene.holder(use, finish_by=use.expires_at + span(20))
        await passes(60)
        assert not holder.stopped
        (said,) = [text for text in holder.said if "may finish until" in text]
        # 20 s after the deadline at 01:00.
        assert "GR-1" in said
        assert "01:00:20 UTC" in said
        with pytest.raises(Ended):
            holder.session.check()
        await passes(19.9)
        assert not holder.stopped
        await passes(0.2)
        assert holder.stopped == "expired"

    play(scenario)


def test_an_earlier_end_shortens_what_may_finish():
    async def scenario(scene):
        use = scene.use(3600)
        holder = scene.holder(use, finish_by=use.expires_at + span(600))
        until = scene.clock.now() + span(30)
        scene.enders.apply([1], scene.now(use, live=False, finish_until=until, end_reason="revoked"))
        await passes(29.9)
        assert not holder.stopped
        await passes(0.2)
        assert holder.stopped

    play(scenario)


@pytest.mark.parametrize(
    ("own", "allowed"), [(600, 550), (100, 50), (0, 0), (900, 550)]
)  # seconds that the command may finish, of the grant's 600
def test_a_command_with_less_time_to_finish_than_the_longest_one_has_just_that(own, allowed):
    async def scenario(scene):
        use = scene.use(3600)
        holder = scene.holder(use, finish_by=use.expires_at + span(600), finish_seconds=own)
        until = scene.clock.now() + span(550)
        scene.enders.apply([1], scene.now(use, live=False, finish_until=until))
        if allowed:
            await passes(allowed - 0.1)
            assert not holder.stopped
        await passes(0.2)
        assert holder.stopped

    play(scenario)


def test_one_that_is_slow_to_leave_keeps_no_limit_from_the_others():
    async def scenario(scene):
        use = scene.use(60)
        slow = scene.holder(use, slow=True)
        other = scene.holder(use, finish_by=use.expires_at + span(10))
        await passes(60)
        await settle()
        assert slow.stops == 2, "it was told again"
        assert slow.said == [], "it may not finish"
        assert not other.stopped
        await passes(10)
        assert other.stopped == "expired"

    play(scenario)


def test_who_may_finish_is_told_once_however_often_the_end_is_heard():
    async def scenario(scene):
        use = scene.use(3600)
        holder = scene.holder(use, finish_by=use.expires_at + span(600))
        until = scene.clock.now() + span(30)
        over = scene.now(use, live=False, finish_until=until, end_reason="revoked")
        for _ in range(3):
            scene.enders.apply([1], over)
        assert len(holder.said) == 1
        assert holder.session.grant.over == "revoked"
        scene.enders.apply([1], scene.now(use, live=False, cut=True, end_reason="released"))
        assert holder.stopped == "ended by the holder"
        assert len(holder.said) == 1

    play(scenario)


def test_nobody_is_warned_of_the_deadline_of_a_grant_that_is_over():
    async def scenario(scene):
        use = scene.use(16 * 60)
        holder = scene.holder(use, finish_by=use.expires_at + span(600))
        until = scene.clock.now() + span(600)
        scene.enders.apply([1], scene.now(use, live=False, finish_until=until))
        assert len(holder.session.grant.timers) == 1, "its own limit"
        await passes(120)
        assert len(holder.said) == 1
        assert "may finish" in holder.said[0]

    play(scenario)


# Ends found in the database


@pytest.mark.parametrize(
    ("reason", "said"),
    [("revoked", "revoked"), ("released", "ended by the holder"), ("", "no longer active")],
)
def test_a_cut_stops_also_what_might_finish(reason, said):
    async def scenario(scene):
        use = scene.use(3600)
        holder = scene.holder(use, finish_by=use.expires_at + span(600))
        scene.enders.apply([1], scene.now(use, live=False, cut=True, end_reason=reason))
        assert holder.stopped == said

    play(scenario)


def test_a_grant_that_the_database_does_not_know_is_cut():
    async def scenario(scene):
        use = scene.use(3600)
        holder = scene.holder(use, finish_by=use.expires_at + span(600))
        grant = holder.session.grant
        scene.enders.apply([1], {})
        assert holder.stopped
        assert grant.over == holder.stopped

    play(scenario)


def test_an_end_touches_no_other_grant_and_keeps_no_later_one_from_ending():
    async def scenario(scene):
        uses = [scene.use(3600, grant_id) for grant_id in (1, 2, 3)]
        first, second, third = (scene.holder(use) for use in uses)
        found = (
            scene.now(uses[0], live=False, cut=True)
            | scene.now(uses[1])
            | scene.now(uses[2], live=False, cut=True)
        )
        # A grant that is no longer open is ignored.
        scene.enders.apply([1, 99, 2, 3], found)
        assert first.stopped
        assert third.stopped
        assert not second.stopped
        second.session.check()
        assert scene.registry.grants == {2: second.session.grant}

    play(scenario)


def test_all_sessions_of_a_grant_end_with_it_and_are_reported_with_the_reason():
    async def scenario(scene):
        use = scene.use(3600)
        sessions = [session_of(scene.registry, use, row=row) for row in (5, 6)]
        holders = [holder_of(one) for one in sessions]
        scene.enders.apply([1], scene.now(use, live=False, cut=True, end_reason="revoked"))
        assert [holder.stopped for holder in holders] == ["revoked", "revoked"]
        assert {sent.arguments["reason"] for sent in scene.told.sent} == {"revoked"}
        assert len(scene.told.sent) == 2

    play(scenario)


# Warnings


def test_holders_are_warned_at_fifteen_five_and_one_minute():
    async def scenario(scene):
        use = scene.use(16 * 60)
        holders = [scene.holder(use), scene.holder(use)]
        told: list[int] = []
        for minutes in (15, 5, 1):
            left = (use.expires_at - scene.clock.now()).total_seconds()
            await passes(left - minutes * 60 - 0.1)
            assert len(holders[0].said) == len(told)
            await passes(0.1)
            told.append(minutes)
        for holder in holders:
            assert holder.said == [
                "GR-1 ends in 15 minutes.",
                "GR-1 ends in 5 minutes.",
                "GR-1 ends in 1 minute.",
            ]

    play(scenario)


@pytest.mark.parametrize(
    ("seconds", "warnings"), [(30, 0), (60, 0), (61, 1), (300, 1), (301, 2), (900, 2), (901, 3)]
)
def test_a_short_grant_is_not_warned_of_what_has_passed(seconds, warnings):
    async def scenario(scene):
        holder = scene.holder(scene.use(seconds))
        await settle()
        assert holder.said == []
        await passes(seconds)
        assert len(holder.said) == warnings

    play(scenario)


# Extensions


def test_an_extension_moves_the_deadline_and_drops_nothing():
    async def scenario(scene):
        use = scene.use(3600)
        holders = [scene.holder(use), scene.holder(use)]
        longer = use.expires_at + span(3600)
        scene.enders.apply([1], scene.now(use, expires_at=longer))
        for holder in holders:
            (said,) = holder.said
            assert said.startswith("GR-1 was extended to 02:59 UTC.")
            assert "already running keeps its old deadline" in said
        await passes(3600)
        assert not any(holder.stopped for holder in holders)
        await passes(3600)
        assert all(holder.stopped == "expired" for holder in holders)

    play(scenario)


def test_a_deadline_that_was_moved_closer_is_kept_without_a_word():
    async def scenario(scene):
        use = scene.use(3600)
        holder = scene.holder(use)
        scene.enders.apply([1], scene.now(use, expires_at=use.expires_at - span(3570)))
        assert holder.said == []
        await passes(30)
        assert holder.stopped == "expired"

    play(scenario)


# Tokens


def by_token(scene, use, *, seconds: float | None = None, **more):
    """Return a holder whose token expires in this many seconds, if before the grant does."""
    until = None if seconds is None else scene.clock.now() + span(seconds)
    return holder_of(session_of(scene.registry, use, good_until=until), **more)


def standing(scene, *, live: bool = True, seconds: float = 3600, why: str = TIME_OVER) -> TokenNow:
    return TokenNow(live=live, expires_at=scene.clock.now() + span(seconds), why=why)


def test_a_token_that_expires_closes_its_own_session_alone():
    async def scenario(scene):
        use = scene.use(3600, credential_id=7)
        holder, other = by_token(scene, use, seconds=60), by_token(scene, use)
        await passes(59.99)
        assert not holder.stopped
        await passes(0.01)
        assert holder.stopped == RAN_OUT
        assert (other.stopped, other.session.closed) == ("", False)
        assert holder.session.closed

    play(scenario)


@pytest.mark.parametrize(("back", "closed"), [(0.2, False), (0.0009, True)])
def test_a_clock_that_was_set_back_does_not_close_a_token_early(back, closed):
    async def scenario(scene):
        holder = by_token(scene, scene.use(3600, credential_id=7), seconds=60)
        scene.clock.jump(-back)
        await passes(60)
        assert bool(holder.stopped) is closed
        await passes(back + 0.01)
        assert holder.stopped == RAN_OUT

    play(scenario)


def test_a_token_that_was_renewed_is_good_for_longer():
    async def scenario(scene):
        holder = by_token(scene, scene.use(3600, credential_id=7), seconds=60)
        scene.enders.apply_tokens([holder.session], {7: standing(scene, seconds=120, why=RAN_OUT)})
        await passes(119)
        assert not holder.stopped
        await passes(1)
        assert holder.stopped == RAN_OUT

    play(scenario)


def test_a_token_that_lasts_as_long_as_its_grant_needs_no_timer_any_more():
    async def scenario(scene):
        holder = by_token(scene, scene.use(3600, credential_id=7), seconds=60)
        scene.enders.apply_tokens([holder.session], {7: standing(scene)})
        assert (holder.session.good_until, holder.session.timer) == (None, None)
        await passes(61)
        assert not holder.stopped

    play(scenario)


def test_tokens_that_are_not_good_or_not_known_close_their_sessions_and_no_others():
    async def scenario(scene):
        holders = [by_token(scene, scene.use(3600, n, credential_id=n)) for n in (1, 2, 3, 4)]
        replaced, unknown, good, late = holders
        found = {
            1: standing(scene, live=False, why=REPLACED),
            3: standing(scene),
            4: standing(scene, live=False, why=RAN_OUT),
        }
        scene.enders.apply_tokens([holder.session for holder in holders], found)
        assert (replaced.stopped, unknown.stopped, good.stopped, late.stopped) == (
            REPLACED,
            UNKNOWN,
            "",
            RAN_OUT,
        )

    play(scenario)


def test_a_session_without_a_token_has_no_good_one():
    async def scenario(scene):
        holder = by_token(scene, scene.use(3600))
        scene.enders.apply_tokens([holder.session], {1: standing(scene), 2: standing(scene)})
        assert holder.stopped == UNKNOWN

    play(scenario)
