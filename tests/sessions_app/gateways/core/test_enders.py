"""Deadlines, warnings and extensions, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.enders import Enders
from sessions_app.gateways.core.registry import Ended, OpenSession, Registry
from sessions_app.queries.grants import GrantNow

START = dt.datetime(2026, 3, 29, 0, 59, tzinfo=dt.UTC)


class Clock(LoopClock):
    """A database clock that can jump."""

    def __init__(self) -> None:
        super().__init__(START, time.monotonic())

    def jump(self, seconds: float) -> None:
        self.set(self.now() + dt.timedelta(seconds=seconds), time.monotonic())


@dataclass(eq=False)
class Holder:
    """A user of a session that only writes down what happens to it."""

    session: OpenSession
    finish_by: dt.datetime | None = None
    said: list[str] = field(default_factory=list)
    stopped: str = ""
    finish_seconds: int = 600

    def tell(self, text: str) -> None:
        self.said.append(text)

    def stop(self, reason: str) -> None:
        self.stopped = self.stopped or reason
        self.session.leave(self)


@dataclass
class Scene:
    clock: Clock
    registry: Registry
    enders: Enders

    def use(self, seconds: float, grant_id: int = 1):
        return SimpleNamespace(
            grant_id=grant_id,
            grant_ref=f"GR-{grant_id}",
            finish_seconds=600,
            expires_at=self.clock.now() + dt.timedelta(seconds=seconds),
        )

    def holder(self, use, finish_by=None) -> Holder:
        session = OpenSession(self.registry, use, client_address="192.0.2.1", proof="key")
        holder = Holder(session, finish_by)
        session.enter(holder)
        return holder

    def now(self, use, **changes) -> dict[int, GrantNow]:
        facts = {"ref": use.grant_ref, "live": True, "expires_at": use.expires_at, "finish_until": None,
                 "end_reason": "", "cut": False, **changes}  # fmt: skip
        return {use.grant_id: GrantNow(**facts)}


def play(scenario) -> None:
    """Run a scenario with a scene of its own."""

    async def run() -> None:
        clock = Clock()
        registry = Registry(SimpleNamespace(send=lambda *_, **__: None), clock)
        enders = Enders(registry, clock)
        registry.watcher = enders
        await scenario(Scene(clock, registry, enders))

    asyncio.run(run())


def test_at_the_deadline_everything_is_stopped_without_any_message():
    async def scenario(scene):
        holder = scene.holder(scene.use(0.1))
        await asyncio.sleep(0.05)
        assert not holder.stopped
        await asyncio.sleep(0.1)
        assert holder.stopped == "expired"
        assert scene.registry.grants == {}

    play(scenario)


def test_a_clock_that_was_set_back_does_not_end_a_grant_early():
    async def scenario(scene):
        holder = scene.holder(scene.use(0.1))
        scene.clock.jump(-0.2)
        await asyncio.sleep(0.2)
        assert not holder.stopped
        await asyncio.sleep(0.2)
        assert holder.stopped

    play(scenario)


def test_what_may_finish_is_told_and_stopped_at_its_own_limit():
    async def scenario(scene):
        use = scene.use(0.05)
        holder = scene.holder(use, finish_by=use.expires_at + dt.timedelta(seconds=0.2))
        await asyncio.sleep(0.15)
        assert not holder.stopped
        assert "may finish until" in holder.said[-1]
        with pytest.raises(Ended):
            holder.session.check()
        await asyncio.sleep(0.2)
        assert holder.stopped == "expired"

    play(scenario)


def test_an_earlier_end_shortens_what_may_finish():
    async def scenario(scene):
        use = scene.use(3600)
        holder = scene.holder(use, finish_by=use.expires_at + dt.timedelta(seconds=600))
        until = scene.clock.now() + dt.timedelta(seconds=0.1)
        scene.enders.apply([1], scene.now(use, live=False, finish_until=until, end_reason="revoked"))
        assert not holder.stopped
        await asyncio.sleep(0.2)
        assert holder.stopped

    play(scenario)


@pytest.mark.parametrize(
    ("reason", "said"),
    [("revoked", "revoked"), ("released", "ended by the holder"), ("", "no longer active")],
)
def test_a_cut_stops_also_what_might_finish(reason, said):
    async def scenario(scene):
        use = scene.use(3600)
        holder = scene.holder(use, finish_by=use.expires_at + dt.timedelta(seconds=600))
        scene.enders.apply([1], scene.now(use, live=False, cut=True, end_reason=reason))
        assert holder.stopped == said

    play(scenario)


def test_a_grant_that_the_database_does_not_know_is_over():
    async def scenario(scene):
        holder = scene.holder(scene.use(3600))
        scene.enders.apply([1], {})
        assert holder.stopped

    play(scenario)


def test_an_end_touches_no_other_grant():
    async def scenario(scene):
        one, two = scene.use(3600, 1), scene.use(3600, 2)
        first, second = scene.holder(one), scene.holder(two)
        scene.enders.apply([1], scene.now(one, live=False, cut=True))
        assert first.stopped
        assert not second.stopped
        second.session.check()

    play(scenario)


def test_holders_are_warned_at_fifteen_five_and_one_minute():
    async def scenario(scene):
        for minutes in (15, 5, 1):
            use = scene.use(minutes * 60 + 0.05, minutes)
            holder = scene.holder(use)
            await asyncio.sleep(0.1)
            unit = "minute" if minutes == 1 else "minutes"
            assert holder.said == [f"GR-{minutes} ends in {minutes} {unit}."]

    play(scenario)


def test_a_short_grant_is_not_warned_of_what_has_passed():
    async def scenario(scene):
        holder = scene.holder(scene.use(30))
        await asyncio.sleep(0.05)
        assert holder.said == []

    play(scenario)


def test_an_extension_moves_the_deadline_and_drops_nothing():
    async def scenario(scene):
        use = scene.use(0.1)
        holder = scene.holder(use)
        longer = use.expires_at + dt.timedelta(seconds=0.3)
        scene.enders.apply([1], scene.now(use, expires_at=longer))
        assert "was extended to" in holder.said[0]
        await asyncio.sleep(0.2)
        assert not holder.stopped
        await asyncio.sleep(0.3)
        assert holder.stopped

    play(scenario)


def test_a_session_that_was_registered_after_the_end_was_heard_is_refused():
    async def scenario(scene):
        use = scene.use(3600)
        finishing = scene.holder(use, finish_by=use.expires_at + dt.timedelta(hours=1))
        scene.enders.apply([1], scene.now(use, live=False, finish_until=use.expires_at))
        assert not finishing.stopped
        with pytest.raises(Ended):
            scene.holder(use)

    play(scenario)
