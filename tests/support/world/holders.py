"""Holders of open grants that only record what happens to them, in a loop whose time the test controls."""

import asyncio
import contextvars
import datetime as dt
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

from django.db import connections
from prometheus_client import REGISTRY

from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.cutting import Enders
from sessions_app.gateways.core.registry import OpenSession, Registry
from sessions_app.queries.grants.current import GrantNow
from tests.support.waits import PATIENCE, ends

START = dt.datetime(2026, 3, 29, 0, 59, tzinfo=dt.UTC)


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is frozen until the test advances it.

    Threads and sockets are served as always.
    """

    def __init__(self) -> None:
        self._passed = 1000.0
        super().__init__()

    def time(self) -> float:
        return self._passed

    def jump(self, seconds: float) -> None:
        self._passed += seconds


async def settle() -> None:
    """Run everything that is ready."""
    for _ in range(12):
        await asyncio.sleep(0)


async def passes(seconds: float) -> None:
    """Advance the loop's time, and run everything that becomes due."""
    asyncio.get_running_loop().jump(seconds)
    await settle()


def play_out(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario in a loop with frozen time, and fail if it hangs.

    Its threads end with it, so that none queries the database of the next test.
    """
    hung, before = threading.Event(), set(threading.enumerate())

    async def run() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def cut() -> None:
            hung.set()
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)

        timer = threading.Timer(PATIENCE, cut)
        timer.daemon = True
        timer.start()
        try:
            await scenario()
        finally:
            timer.cancel()
            connections.close_all()

    with asyncio.Runner(loop_factory=StillLoop) as runner:
        try:
            # Django's connections within a loop belong to its context. A browser leaves its own loop and
            # connections in this thread's context, which would be another test's here.
            runner.run(run(), context=contextvars.Context())
        except asyncio.CancelledError:
            assert not hung.is_set(), "the scenario hangs"
            raise
    for thread in set(threading.enumerate()) - before:
        ends(thread)


def metric(name: str, **labels: str) -> float:
    """Return the current value of a metric."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Clock(LoopClock):
    """A database clock that follows the running loop's time, if any, and can jump."""

    def __init__(self) -> None:
        super().__init__(START, 0.0)
        self._began = self._loop_time()
        self._jumped = 0.0

    def now(self) -> dt.datetime:
        return START + dt.timedelta(seconds=self._loop_time() - self._began + self._jumped)

    def jump(self, seconds: float) -> None:
        self._jumped += seconds

    @staticmethod
    def _loop_time() -> float:
        with suppress(RuntimeError):
            return asyncio.get_running_loop().time()
        return 0.0


class Sent(NamedTuple):
    """A report that was sent."""

    chain: object
    function: Callable[..., object]
    arguments: dict[str, Any]
    plain: dict[str, Any]


class Told:
    """Reports that are only recorded. Those on the chains in ``waiting`` were not delivered yet."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.waiting: dict[object, None] = {}

    def send(self, chain, function, /, *, plain, **arguments) -> None:
        self.sent.append(Sent(chain, function, arguments, dict(plain)))

    def chains(self):
        return self.waiting.keys()


@dataclass(eq=False)
class Holder:
    """A user of a session that only records what happens to it. A ``slow`` one stays when it is stopped."""

    session: OpenSession
    finish_by: dt.datetime | None = None
    said: list[str] = field(default_factory=list)
    stopped: str = ""
    finish_seconds: int = 600
    slow: bool = False
    stops: int = 0

    def tell(self, text: str) -> None:
        self.said.append(text)

    def stop(self, reason: str) -> None:
        self.stops += 1
        self.stopped = self.stopped or reason
        if not self.slow:
            self.session.leave(self)


def use_of_grant(grant_id: int = 1, *, expires_at: dt.datetime = START + dt.timedelta(hours=1), **more):
    """Return a use of a grant with the fields that the registry reads."""
    facts = {"grant_ref": f"GR-{grant_id}", "finish_seconds": 600, "credential_id": None, **more}
    return SimpleNamespace(grant_id=grant_id, expires_at=expires_at, **facts)


def session_of(
    registry: Registry, use=None, *, proof: str = "key", row: int | None = None, **more
) -> OpenSession:
    """Return an open session; with a ``row``, it is registered."""
    session = OpenSession(registry, use or use_of_grant(), client_address="192.0.2.1", proof=proof, **more)
    if row is not None:
        session.opened(row)
    return session


def holder_of(session: OpenSession, finish_by: dt.datetime | None = None, **more) -> Holder:
    """Return a holder who has entered a session."""
    holder = Holder(session, finish_by, **more)
    session.enter(holder)
    return holder


@dataclass
class Scene:
    """Open grants with their deadlines."""

    clock: Clock
    told: Told
    registry: Registry
    enders: Enders

    def jump(self, seconds: float) -> None:
        """Advance the loop's time, without running anything yet."""
        asyncio.get_running_loop().jump(seconds)

    def use(self, seconds: float, grant_id: int = 1, **more):
        return use_of_grant(grant_id, expires_at=self.clock.now() + dt.timedelta(seconds=seconds), **more)

    def holder(self, use, finish_by=None, **more) -> Holder:
        return holder_of(session_of(self.registry, use), finish_by, **more)

    def now(self, use, **changes) -> dict[int, GrantNow]:
        facts = {
            "ref": use.grant_ref,
            "live": True,
            "expires_at": use.expires_at,
            "finish_until": None,
            "end_reason": "",
            "cut": False,
            **changes,
        }
        return {use.grant_id: GrantNow(**facts)}


def play(scenario: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a scenario with a new scene."""

    async def run() -> None:
        clock, told = Clock(), Told()
        registry = Registry(told, clock)
        registry.watcher = enders = Enders(registry, clock)
        await scenario(Scene(clock, told, registry, enders))

    play_out(run)
