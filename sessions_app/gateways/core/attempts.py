"""One attempt by a token's holder: recorded before anything is sent, and held until another person
decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from broker.kernel import clock, request_id
from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.together import Calls, Together
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import AnyUse, TokenUse
from sessions_app.operations.sessions.record_refused_request import record_dead_token
from sessions_app.operations.sessions.release_held import release_held
from sessions_app.operations.sessions.try_command import Tried, try_command
from sessions_app.operations.sessions.try_commands import Attempt, is_plain, try_commands
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.queries.grants.current import HoldNow, hold_of

U = TypeVar("U", bound=AnyUse)


class NotReleased(Exception):
    """A held attempt may not run. The state is `held` (no one can approve it), `denied`, `lapsed`, `over`, or
    `beyond` (its budget), with the reason.
    """

    def __init__(self, state: str, message: str) -> None:
        self.state, self.message = state, message
        super().__init__(message)


async def attempt(
    shared: Shared,
    session: OpenSession[U],
    use: U,
    *,
    line: str,
    decision: Allowed | Refused,
    order_id: int | None = None,
    too_late: Callable[[Tried], None],
) -> Tried:
    """Record an attempt with its decision. Nothing may be sent before this function has returned `allowed`.

    ``order_id`` is the order from a page that led to the attempt. If the call is canceled, the recording in
    progress finishes, and ``too_late`` is called with the result. Raises StintError.
    """
    if session.id is None:
        raise AssertionError
    trying = asyncio.ensure_future(
        _recorded(shared, use=use, session_id=session.id, line=line, decision=decision, order_id=order_id)
    )
    try:
        return await asyncio.shield(trying)
    except asyncio.CancelledError:
        trying.add_done_callback(lambda done: None if _failed(done) else too_late(done.result()))
        raise


async def released(shared: Shared, use: AnyUse, tried: Tried) -> Tried:
    """Wait until another person approves an attempt, and use that approval, which is valid once.

    Raises NotReleased or StintError.
    """
    if not tried.approvable or not isinstance(tried.decision, Allowed):
        raise NotReleased("held", tried.message)
    while True:
        try:
            hold = await shared.database.run(_hold, run_id=tried.run_id)
            if hold.state == "allowed":
                made = await shared.database.run(
                    _release, use=use, run_id=tried.run_id, line=tried.line, decision=tried.decision
                )
                if isinstance(made.decision, Refused):
                    raise NotReleased("beyond", made.message)
                return made
        except Unavailable:
            await asyncio.sleep(1)
            continue
        if hold.state != "held":
            raise NotReleased(hold.state, hold.message)
        await shared.holds.next(tried.run_id)


def tries_of(database: Database) -> Together[Tried]:
    """Return the attempts of a gateway, of which those that arrive together are recorded together."""
    return Together(database, _try, _try_all)


async def _recorded(
    shared: Shared, *, use: AnyUse, decision: Allowed | Refused, order_id: int | None, **about: Any
) -> Tried:
    if order_id is None and isinstance(decision, Allowed) and is_plain(use, decision):
        return await shared.tries.run(use=use, decision=decision, request_id=request_id.current(), **about)
    return await shared.database.run(_try, use=use, decision=decision, order_id=order_id, **about)


def _failed(work: asyncio.Future[Tried]) -> bool:
    return work.cancelled() or work.exception() is not None


# Operations, each called with the current time


def _try(
    *,
    use: AnyUse,
    session_id: int,
    line: str,
    decision: Allowed | Refused,
    order_id: int | None = None,
    request_id: str = "",
) -> Tried:
    del request_id  # it is the context's own
    now = clock.now()
    try:
        return try_command(
            use=use, session=session_id, line=line, decision=decision, order_id=order_id, now=now
        )
    except GrantIsOver:
        # An attempt after the end is recorded too. An order from a page gets the reason.
        if isinstance(use, TokenUse):
            record_dead_token(
                token_digest=use.credential_digest, target_name=use.target.name, line=line, now=now
            )
        raise


def _try_all(*, calls: Calls) -> list[tuple[Tried] | None]:
    made = try_commands(attempts=[Attempt(**call) for call in calls], now=clock.now())
    return [None if tried is None else (tried,) for tried in made]


def _hold(*, run_id: int) -> HoldNow:
    return hold_of(run_id, clock.now())


def _release(*, use: AnyUse, run_id: int, line: str, decision: Allowed) -> Tried:
    return release_held(use=use, run_id=run_id, line=line, decision=decision, now=clock.now())
